//! What went wrong, as the SDK reports it from inside the build or as the tool prints it.

use serde::Deserialize;

use super::error::BuildError;
use super::layout::Layout;
use super::output::text_of;

/// The module under construction writes the report, so it may be of any size.
const REPORT: u64 = 1 << 20;
const MESSAGE: usize = 4 * 1024;
const TRACEBACK: usize = 16 * 1024;
const LINES: usize = 12;

/// `report.json`, written by `subcast_guest/_build.py`.
#[derive(Debug, Deserialize)]
struct Report {
    kind: Kind,
    message: String,
    traceback: String,
    /// The last of what the module printed before.
    printed: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// The SDK found something wrong; its sentence says all.
    Definition,
    /// The author's module raised.
    Exception,
    /// Nothing came back from the author's module.
    Unfinished,
}

/// Why the tool failed in `layout`: by the SDK's report, or else by what the tool printed.
pub(super) fn failure(layout: &Layout, printed: &str) -> BuildError {
    let module = layout.entry.clone();
    let report = text_of(&layout.report(), REPORT).and_then(|text| serde_json::from_str::<Report>(&text).ok());
    match report {
        None => BuildError::Tool(last_lines(printed)),
        Some(report) => match report.kind {
            Kind::Definition => BuildError::Definition(start(&report.message, MESSAGE)),
            Kind::Unfinished => {
                // The innermost cause, whose number in the chain says nothing here.
                let cause = |line: &'_ str| {
                    line.trim_start_matches(|c: char| c.is_ascii_digit() || " :".contains(c)).to_owned()
                };
                let reason = printed.lines().map(cause).rfind(|line| !line.is_empty());
                let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
                BuildError::Crashed { module, reason: start(&reason, MESSAGE) }
            }
            Kind::Exception => {
                let mut traceback = end(&report.traceback, TRACEBACK);
                if !report.printed.trim().is_empty() {
                    traceback.push_str("\n\nit had printed:\n");
                    traceback.push_str(&end(report.printed.trim_end(), MESSAGE));
                }
                BuildError::Import { module, message: start(&report.message, MESSAGE), traceback }
            }
        },
    }
}

/// The first `limit` bytes.
fn start(text: &str, limit: usize) -> String {
    text[..text.floor_char_boundary(limit)].to_owned()
}

/// The last `limit` bytes: the end of a traceback names the culprit.
fn end(text: &str, limit: usize) -> String {
    text[text.ceil_char_boundary(text.len().saturating_sub(limit))..].to_owned()
}

/// What the tool said last, without empty lines.
fn last_lines(printed: &str) -> String {
    let lines: Vec<_> = printed.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let text = lines[lines.len().saturating_sub(LINES)..].join("\n");
    if text.is_empty() { "it said nothing about the reason".to_owned() } else { end(&text, MESSAGE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(start("aé", 2), "a");
        assert_eq!(end("éa", 2), "a");
        assert_eq!(end("abc", 9), "abc");
    }

    #[test]
    fn the_last_lines_of_the_tool_are_kept() {
        let printed = (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n\n");
        let kept = last_lines(&printed);
        assert_eq!(kept.lines().count(), LINES);
        assert!(kept.ends_with("line 99"));
        assert_eq!(last_lines("\n \n"), "it said nothing about the reason");
    }
}
