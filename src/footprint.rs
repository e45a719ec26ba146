//! Memory of parsed JSON, estimated from its text without parsing, or counted from its values.
//!
//! `serde_json` makes 32 bytes of each value, whatever its text: two bytes of `[0,0,…]` become 48 to 80, and eight bytes of
//! `[{"a":0},…]` some 700. A bound on text alone is therefore no bound on memory.

use serde_json::{Map, Value};

/// A value: 32 bytes, in a list that may have grown to twice what it needs, and 16 on the heap for a number, which keeps
/// its digits as text.
pub const VALUE: usize = 80;
/// A list beyond its values: the first one makes room for four.
pub const LIST: usize = 128;
/// A member: name and value in a node of the tree, which is half full at least.
pub const MEMBER: usize = 128;
/// An object with members: the rest of its first node, which has room for eleven.
pub const OBJECT: usize = 640;
/// A string beyond its text: what the allocator rounds up.
const STRING: usize = 16;

/// Bytes that the values of this text will take, at most and roughly. The text need not be valid; one pass.
#[must_use]
pub fn of_text(json: &str) -> usize {
    of_bytes(json.as_bytes())
}

/// The same of bytes, which need not be text.
#[must_use]
pub fn of_bytes(json: &[u8]) -> usize {
    let mut sum = VALUE + json.len();
    // Whether an object has begun that has no member yet.
    let mut is_new = false;
    let mut bytes = json.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' => sum += VALUE,
            b'[' => sum += LIST,
            b'{' => is_new = true,
            b'}' => is_new = false,
            b':' => {
                sum += MEMBER + if is_new { OBJECT } else { 0 };
                is_new = false;
            }
            b'"' => {
                sum += STRING;
                skip_string(&mut bytes);
            }
            _ => {}
        }
    }
    sum
}

/// Bytes that this value takes, roughly; more than `most` as soon as it is known to be more.
#[must_use]
pub fn of_value(value: &Value, most: usize) -> usize {
    let mut sum = VALUE;
    match value {
        Value::String(text) => sum += of_string(text),
        Value::Array(values) => {
            sum += LIST;
            for value in values {
                if sum > most {
                    break;
                }
                sum += of_value(value, most - sum);
            }
        }
        Value::Object(members) => sum += of_map(members, most),
        Value::Number(number) => sum += number.as_str().len(),
        Value::Null | Value::Bool(_) => {}
    }
    sum
}

/// Bytes that these members take, roughly; more than `most` as soon as it is known to be more.
#[must_use]
pub fn of_map(members: &Map<String, Value>, most: usize) -> usize {
    let mut sum = if members.is_empty() { 0 } else { OBJECT };
    for (name, value) in members {
        if sum > most {
            break;
        }
        sum += of_member(name) + of_value(value, most - sum);
    }
    sum
}

/// Bytes that a member takes beside its value.
#[must_use]
pub fn of_member(name: &str) -> usize {
    MEMBER + of_string(name)
}

/// Bytes that a text takes, in memory or as JSON, whichever is more: escapes are up to six times as long.
#[must_use]
pub fn of_string(text: &str) -> usize {
    let written = |byte| match byte {
        b'"' | b'\\' => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    STRING + text.bytes().map(written).sum::<usize>()
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Bytes that a value has on the heap: capacities, and trees with nodes that are half full.
    fn heap(value: &Value) -> usize {
        match value {
            Value::String(text) => text.capacity(),
            Value::Number(number) => number.as_str().len().next_multiple_of(16),
            Value::Array(values) => values.capacity() * size_of::<Value>() + values.iter().map(heap).sum::<usize>(),
            Value::Object(members) => {
                // Nodes of eleven, five of them used after a split; a leaf without edges.
                let node = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
                let nodes = if members.len() <= 11 { members.len().min(1) } else { members.len() / 5 };
                let inner = members.iter().map(|(name, value)| name.capacity() + heap(value)).sum::<usize>();
                nodes * node + inner
            }
            _ => 0,
        }
    }

    #[test]
    fn no_text_becomes_more_than_what_is_estimated() {
        let repeated = |text: &str| format!("[{}{text}]", format!("{text},").repeat(9_999));
        let members = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| format!("\"{n}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let texts = [
            repeated("0"),
            repeated("\"\""),
            repeated("\"x\""),
            repeated("[]"),
            repeated("[0]"),
            repeated("{}"),
            repeated("{\"\":0}"),
            repeated("{\"a\":0,\"b\":[]}"),
            members(5),
            members(12),
            members(10_000),
            repeated(&members(12)),
        ];
        for text in texts {
            let value: Value = serde_json::from_str(&text).unwrap();
            let (taken, estimate) = (heap(&value), of_text(&text));
            assert!(taken <= estimate, "{taken} bytes, estimated {estimate}: {}", &text[..40.min(text.len())]);
            assert!(
                estimate < 8 * taken.max(100),
                "{taken} bytes, estimated {estimate}: {}",
                &text[..40.min(text.len())]
            );
            assert!(of_value(&value, usize::MAX) * 4 > taken, "{}", &text[..40.min(text.len())]);
        }
    }

    #[test]
    fn braces_and_commas_inside_of_strings_are_text() {
        let text = r#""[{,:\"[[[""#;
        assert_eq!(of_text(text), VALUE + STRING + text.len());
    }

    #[test]
    fn counting_ends_when_the_bound_is_passed() {
        let value = json!([1, [2, 3], {"a": "b"}]);
        let whole = of_value(&value, usize::MAX);
        assert!((0..whole).all(|most| of_value(&value, most) > most));
        assert_eq!(of_value(&value, whole), whole);
    }
}
