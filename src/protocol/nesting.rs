//! How deep JSON is nested, found without recursion and without building anything.
//!
//! Whoever reads JSON recursively (a guest's `json.loads`, a `Value`) pays for depth with stack; this is asked first.

/// The deepest bound that may be configured: `serde_json` refuses a `Value` of more than 127 levels by itself.
pub(super) const DEEPEST: usize = 120;

/// Whether arrays and objects lie more than `bound` deep in `json`, which need not even be valid. `[]` is 1 deep.
pub(super) fn deeper_than(json: &str, bound: usize) -> bool {
    let mut depth = 0_usize;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > bound {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    false
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
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
