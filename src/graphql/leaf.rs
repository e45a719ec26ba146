//! Coercion of scalar and enum results, as the specification allows and `graphql-core` does it.
//!
//! Where the text of the value will do, it is copied. Python's rules for turning strings into numbers and numbers into
//! strings are followed for ASCII.

use std::borrow::Cow;
use std::fmt::Write;

use super::json::{Json, Node, Shape};
use super::selection::Leaf;
use crate::number::{self, Exact};

/// Appends the coerced value, or says why it has none. `node` is not null.
pub(super) fn write(leaf: &Leaf, json: &Json<'_>, node: Node, out: &mut String) -> Result<(), Cow<'static, str>> {
    let text = json.text(node);
    match leaf {
        Leaf::Custom => out.push_str(text),
        Leaf::String => return string(node, text, out).ok_or(Cow::Borrowed("String cannot represent the value")),
        Leaf::Int => {
            let value = int(json, node).ok_or("Int cannot represent non-integer value")?;
            let value = i32::try_from(value).map_err(|_| "Int cannot represent non 32-bit signed integer value")?;
            // Writing to a string cannot fail.
            let _ = write!(out, "{value}");
        }
        Leaf::Float => float(json, node, out)?,
        Leaf::Boolean => {
            let value = boolean(node, text).ok_or("Boolean cannot represent a non boolean value")?;
            out.push_str(if value { "true" } else { "false" });
        }
        Leaf::Id => id(node, text, out).ok_or("ID cannot represent the value")?,
        Leaf::Enum(ty) => {
            let member = matches!(node.shape, Shape::String | Shape::EscapedString)
                && ty.values.binary_search_by(|value| (**value).cmp(&decoded(json, node))).is_ok();
            if !member {
                return Err(format!("Enum \"{}\" cannot represent the value", ty.name).into());
            }
            out.push_str(text);
        }
    }
    Ok(())
}

/// What a string stands for.
pub(super) fn decoded<'t>(json: &Json<'t>, node: Node) -> Cow<'t, str> {
    match node.shape {
        // Lone surrogates have no decoding; such a text is equal to nothing that we compare with.
        Shape::EscapedString => serde_json::from_str(json.text(node)).map_or(Cow::Borrowed(""), Cow::Owned),
        _ => Cow::Borrowed(json.inside(node)),
    }
}

fn string(node: Node, text: &str, out: &mut String) -> Option<()> {
    match node.shape {
        Shape::String | Shape::EscapedString => out.push_str(text),
        Shape::True | Shape::False => quoted(text, out),
        Shape::Integer => quoted(integer(text), out),
        Shape::Float => quoted(&python_float(finite(text)?), out),
        Shape::Null | Shape::List | Shape::Object => return None,
    }
    Some(())
}

/// `None` also for what is not integral; values that do not fit 64 bits become ones that do not fit 32.
fn int(json: &Json<'_>, node: Node) -> Option<i64> {
    match node.shape {
        Shape::True => Some(1),
        Shape::False => Some(0),
        Shape::Integer => Some(json.text(node).parse().unwrap_or(i64::MAX)),
        Shape::Float => {
            let value = finite(json.text(node))?;
            #[expect(clippy::cast_possible_truncation, reason = "casts saturate, far outside of 32 bits")]
            let truncated = value as i64;
            (value.fract() == 0.0).then_some(truncated)
        }
        Shape::String | Shape::EscapedString => {
            let text = decoded(json, node);
            let digits = python_number(&text)?;
            let (sign, unsigned) =
                digits.strip_prefix('-').map_or(("", digits.strip_prefix('+').unwrap_or(&digits)), |rest| ("-", rest));
            if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            Some(format!("{sign}{unsigned}").parse().unwrap_or(i64::MAX))
        }
        Shape::Null | Shape::List | Shape::Object => None,
    }
}

fn float(json: &Json<'_>, node: Node, out: &mut String) -> Result<(), &'static str> {
    const NOT_NUMERIC: &str = "Float cannot represent non numeric value";
    const TOO_LARGE: &str = "Float cannot represent a number beyond the range of doubles";
    const INEXACT: &str = "Float cannot represent a whole number that no double holds exactly; use ID or String";
    let text = json.text(node);
    match node.shape {
        Shape::True => out.push('1'),
        Shape::False => out.push('0'),
        Shape::Float => {
            finite(text).ok_or(TOO_LARGE)?;
            out.push_str(text);
        }
        Shape::Integer => {
            if !is_exact(text) {
                return Err(if finite(text).is_some() { INEXACT } else { TOO_LARGE });
            }
            out.push_str(text);
        }
        Shape::String | Shape::EscapedString => {
            let text = decoded(json, node);
            let number = python_number(&text).ok_or(NOT_NUMERIC)?;
            // Python allows `1_0.0_1e5` but wants digits there; what it calls infinite or not a number is refused.
            let value = finite(&number).ok_or(NOT_NUMERIC)?;
            out.push_str(&python_float(value));
        }
        Shape::Null | Shape::List | Shape::Object => return Err(NOT_NUMERIC),
    }
    Ok(())
}

fn boolean(node: Node, text: &str) -> Option<bool> {
    match node.shape {
        Shape::True => Some(true),
        Shape::False => Some(false),
        Shape::Integer => Some(text.bytes().any(|byte| matches!(byte, b'1'..=b'9'))),
        Shape::Float => Some(finite(text)? != 0.0),
        _ => None,
    }
}

fn id(node: Node, text: &str, out: &mut String) -> Option<()> {
    match node.shape {
        Shape::String | Shape::EscapedString => out.push_str(text),
        Shape::Integer => quoted(integer(text), out),
        Shape::Float => quoted(&Exact::read(text)?.id()?, out),
        _ => return None,
    }
    Some(())
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}

fn integer(text: &str) -> &str {
    if text == "-0" { "0" } else { text }
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Whether a double can hold the integer: short ones always.
fn is_exact(text: &str) -> bool {
    let digits = text.trim_start_matches('-');
    digits.len() <= 15 || number::double(digits).is_some()
}

/// Python's reading of a string as a number: white space around it, single underscores between digits.
fn python_number(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c));
    if !text.contains('_') {
        return Some(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    let misplaced = (0..bytes.len()).any(|at| bytes[at] == b'_' && (at == 0 || !digit(at - 1) || !digit(at + 1)));
    (!misplaced).then(|| Cow::Owned(text.replace('_', "")))
}

/// `repr` of a Python float: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16.
fn python_float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) || value == 0.0 {
        return format!("{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}
