//! The conditions of a predicate that must hold together, as text: for comparing two versions of it.

/// The operands of `&&` at the top level, spaces normalized; the whole predicate where it is no plain conjunction.
///
/// Only for comparing: two predicates may mean the same and have other texts.
#[must_use]
pub fn conjuncts(predicate: &str) -> Vec<String> {
    if is_intricate(predicate) {
        return vec![predicate.to_owned()];
    }
    let mut parts = vec![String::new()];
    let (mut depth, mut quote) = (0_u32, None);
    let mut characters = predicate.chars().peekable();
    while let Some(c) = characters.next() {
        let part = parts.last_mut().expect("never empty");
        if let Some(open) = quote {
            part.push(c);
            if c == '\\' {
                part.extend(characters.next());
            } else if c == open {
                quote = None;
            }
            continue;
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '&' if depth == 0 && characters.peek() == Some(&'&') => {
                characters.next();
                parts.push(String::new());
                continue;
            }
            // Binds less than `&&`: the whole is one condition.
            '|' | '?' if depth == 0 => return vec![normalized(predicate)],
            _ => {}
        }
        part.push(c);
    }
    parts.iter().map(|part| normalized(part)).collect()
}

/// Whether a condition could hide in a comment or in a literal that is not read here: nobody may pass off `true // && x` as
/// a predicate that demands `x`.
fn is_intricate(predicate: &str) -> bool {
    let prefixed =
        |quote: char| predicate.match_indices(quote).any(|(at, _)| predicate[..at].ends_with(['r', 'R', 'b', 'B']));
    ["//", "'''", "\"\"\""].iter().any(|text| predicate.contains(text)) || prefixed('\'') || prefixed('"')
}

/// Without the spaces that mean nothing: all outside of quotes, except between two words.
fn normalized(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut out, mut quote, mut space) = (String::new(), None, false);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if let Some(open) = quote {
            out.push(c);
            if c == '\\' {
                out.extend(characters.next());
            } else if c == open {
                quote = None;
            }
            continue;
        }
        if c.is_whitespace() {
            space = true;
            continue;
        }
        let operator = |c: char| matches!(c, '=' | '<' | '>' | '!' | '+' | '-' | '*' | '/' | '%');
        let apart = out.chars().next_back().is_some_and(|last| {
            (space && is_word(last) && is_word(c)) || (operator(c) && is_word(last)) || (operator(last) && is_word(c))
        });
        if apart {
            out.push(' ');
        }
        space = false;
        if matches!(c, '"' | '\'') {
            quote = Some(c);
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conjunction_falls_into_its_conditions() {
        assert_eq!(conjuncts("a == 1 && b==2"), ["a == 1", "b == 2"]);
        assert_eq!(conjuncts("a  ==  1"), ["a == 1"]);
        assert_eq!(conjuncts("(a && b) && c in [1, 2]"), ["(a&&b)", "c in[1,2]"]);
        assert_eq!(conjuncts("a == ' && ' && b"), ["a ==' && '", "b"]);
    }

    #[test]
    fn anything_else_is_one_condition() {
        assert_eq!(conjuncts("a && b || c").len(), 1);
        assert_eq!(conjuncts("a && b ? c : d").len(), 1);
        assert_eq!(conjuncts("a && (b || c)"), ["a", "(b||c)"]);
    }

    #[test]
    fn nothing_can_be_hidden_from_the_comparison() {
        for hidden in
            ["true // && b", "'''' && b && '''' == a", "a == r'\\' && b && c == '", r#"true || """" && b && """" "#]
        {
            assert_eq!(conjuncts(hidden).len(), 1, "{hidden}");
        }
    }
}
