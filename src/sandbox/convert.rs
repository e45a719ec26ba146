//! Between the texts and records of the contract and our words.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::bindings::exports::subcast::resolver::resolvers as wit;
use super::bindings::subcast::resolver::types;
use super::call::{Question, Request};
use crate::manifest::{Equality, FieldManifest, Manifest};
use crate::outcome::{Failure, Outcome};
use crate::text::is_steering;

/// Fields of one module.
const MOST_FIELDS: usize = 1_000;
/// Events and equalities of one field, and capabilities.
const MOST_LISTED: usize = 1_000;
/// Bytes of a name, a channel, a place in the sources.
const LABEL_BYTES: usize = 1_024;
/// Bytes of one example.
const EXAMPLE_BYTES: usize = 1 << 20;
/// Bytes of each text of a failure.
const FAILURE_BYTES: usize = 16 << 10;

/// The request as the contract's `jobs`: one per event, with its share of the invocations. Data, arguments and principals
/// are JSON texts already, so they are only copied.
pub(super) fn jobs(request: &Request<'_>) -> String {
    let mut text = String::with_capacity(256 * request.questions.len());
    list(&mut text, events(request), |text, questions| {
        text.extend(["[", &questions[0].event.data, ","]);
        list(text, questions, |text, Question { invocation, .. }| {
            let principal = invocation.principal.as_deref().map_or("null", |principal| &principal.json);
            text.extend(["[", &invocation.arguments, ",", principal, "]"]);
        });
        text.push(']');
    });
    text
}

/// The contract's `envelopes` of the same events.
pub(super) fn envelopes(request: &Request<'_>) -> String {
    let envelopes: Vec<[&str; 5]> = events(request)
        .map(|questions| questions[0].event)
        .map(|event| [&*event.id, event.channel.as_str(), &event.kind, &event.time, &event.source])
        .collect();
    serde_json::to_string(&envelopes).expect("strings are always JSON")
}

fn events<'a>(request: &'a Request<'_>) -> impl Iterator<Item = &'a [Question<'a>]> {
    request.questions.chunk_by(Question::same_event)
}

fn list<T>(text: &mut String, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    text.push('[');
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        write(text, item);
    }
    text.push(']');
}

/// One of the contract's `outcomes`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer<'a> {
    #[serde(borrow)]
    Value(&'a RawValue),
    Skip,
    Completed,
    Last(&'a RawValue),
    Failed(Failed<'a>),
}

/// The contract's `failure`.
#[derive(Deserialize)]
struct Failed<'a> {
    message: String,
    code: Option<String>,
    #[serde(borrow)]
    extensions: Option<&'a RawValue>,
    expose: bool,
    traceback: Option<String>,
}

/// The answers to `count` invocations; refused unless there is one for each. Reads no further than that.
pub(super) fn outcomes(answers: &str, count: usize, most_bytes: usize) -> Result<Vec<Outcome>, String> {
    let mut outcomes = Vec::with_capacity(count);
    let mut reader = serde_json::Deserializer::from_str(answers);
    let read =
        reader.deserialize_seq(Reading { outcomes: &mut outcomes, count, most_bytes }).and_then(|()| reader.end());
    // The place alone: the rest of the message would quote the guest.
    read.map_err(|error| {
        let what = if outcomes.len() < count { "its outcomes are" } else { "what follows its outcomes is" };
        format!("{what} not as promised at line {}, column {}", error.line(), error.column())
    })?;
    if outcomes.len() < count {
        return Err(format!("{} outcomes of {count} invocations", outcomes.len()));
    }
    Ok(outcomes)
}

/// Takes the outcomes one by one.
struct Reading<'o> {
    outcomes: &'o mut Vec<Outcome>,
    count: usize,
    most_bytes: usize,
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of outcomes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut answers: A) -> Result<(), A::Error> {
        while self.outcomes.len() < self.count
            && let Some(answer) = answers.next_element()?
        {
            self.outcomes.push(outcome(answer, self.most_bytes));
        }
        Ok(())
    }
}

fn outcome(answer: Answer<'_>, most_bytes: usize) -> Outcome {
    match answer {
        Answer::Value(value) | Answer::Last(value) if value.get().len() > most_bytes => {
            let message = format!("the resolver returned {} bytes, more than its {most_bytes}", value.get().len());
            Outcome::Failed(Failure { message, ..Failure::default() })
        }
        Answer::Value(value) => Outcome::Value(value.get().to_owned()),
        Answer::Skip => Outcome::Skip,
        Answer::Completed => Outcome::Completed(None),
        Answer::Last(value) => Outcome::Completed(Some(value.get().to_owned())),
        Answer::Failed(failed) => Outcome::Failed(bounded(failed)),
    }
}

fn bounded(failed: Failed<'_>) -> Failure {
    let Failed { message, code, extensions, expose, traceback } = failed;
    Failure {
        message: cut(message),
        code: code.map(cut),
        // Cutting JSON would break it.
        extensions: extensions.map(RawValue::get).filter(|text| text.len() <= FAILURE_BYTES).map(str::to_owned),
        expose,
        traceback: traceback.map(cut),
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(FAILURE_BYTES));
    text
}

/// The module's own description, checked for what would harm the host.
///
/// Names and places stand in messages and in lines of the log: they are short, and cannot pass for a line of ours.
pub(super) fn manifest(manifest: wit::Manifest) -> Result<Manifest, String> {
    let wit::Manifest { sdk, schema, fields, capabilities, extensions: _ } = manifest;
    if fields.len() > MOST_FIELDS {
        return Err(format!("{} fields, more than {MOST_FIELDS}", fields.len()));
    }
    few("capabilities", capabilities.len())?;
    labels("manifest", capabilities.iter().chain([&sdk]))?;
    for (place, field) in fields.iter().enumerate() {
        let subject = format!("field {}", place + 1);
        few("events of a field", field.events.len())?;
        few("equalities of a field", field.matches.len())?;
        let named = [&field.name, &field.function, &field.file, &field.channel];
        let matched = field.matches.iter().flat_map(|equality| [&equality.argument, &equality.path]);
        labels(&subject, named.into_iter().chain(&field.events).chain(matched))?;
        if let Some(size) = field.example.as_ref().map(String::len).filter(|size| *size > EXAMPLE_BYTES) {
            return Err(format!("{subject} has an example of {size} bytes, more than {EXAMPLE_BYTES}"));
        }
    }
    Ok(Manifest { sdk, schema, fields: fields.into_iter().map(field).collect(), capabilities })
}

fn few(what: &str, count: usize) -> Result<(), String> {
    if count > MOST_LISTED { Err(format!("{count} {what}, more than {MOST_LISTED}")) } else { Ok(()) }
}

fn labels<'a>(subject: &str, mut texts: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let wrong = texts.find(|text| text.len() > LABEL_BYTES || text.contains(is_steering));
    match wrong {
        Some(text) if text.len() > LABEL_BYTES => {
            Err(format!("a text of {} bytes in {subject} of its manifest, more than {LABEL_BYTES}", text.len()))
        }
        Some(text) if text.contains(char::is_control) => {
            Err(format!("a control character in {subject} of its manifest"))
        }
        Some(_) => Err(format!("a format character in {subject} of its manifest")),
        None => Ok(()),
    }
}

fn field(field: types::FieldManifest) -> FieldManifest {
    FieldManifest {
        name: field.name,
        function: field.function,
        file: field.file,
        line: field.line,
        channel: field.channel,
        events: field.events,
        matches: field
            .matches
            .into_iter()
            .map(|equality| Equality { argument: equality.argument, path: equality.path })
            .collect(),
        predicate: field.where_,
        context: field.context,
        idempotent: field.idempotent,
        on_subscribe: field.on_subscribe,
        example: field.example,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_what_the_contract_says() {
        let text = r#"[{"value":{"a":1}},{"value":null},"skip","completed",{"last":null},{"last":[1]}]"#;
        let value = |text: &str| Outcome::Value(text.to_owned());
        let last = |text: &str| Outcome::Completed(Some(text.to_owned()));
        let all =
            [value(r#"{"a":1}"#), value("null"), Outcome::Skip, Outcome::Completed(None), last("null"), last("[1]")];
        assert_eq!(outcomes(text, 6, 100), Ok(all.to_vec()));
        let failed = r#"[{"failed":{"message":"m","code":"C","extensions":{"a":1},"expose":true,"traceback":null}}]"#;
        let failure = Failure {
            message: "m".to_owned(),
            code: Some("C".to_owned()),
            extensions: Some(r#"{"a":1}"#.to_owned()),
            expose: true,
            traceback: None,
        };
        assert_eq!(outcomes(failed, 1, 100), Ok(vec![Outcome::Failed(failure)]));
    }

    #[test]
    fn a_wrong_count_and_a_value_that_is_too_large_are_refused() {
        assert_eq!(outcomes(r#"["skip"]"#, 2, 100), Err("1 outcomes of 2 invocations".to_owned()));
        let outcome = outcomes(r#"[{"value":"12345678"}]"#, 1, 9).unwrap().remove(0);
        assert!(matches!(outcome, Outcome::Failed(failure) if !failure.expose && failure.message.contains("10 bytes")));
    }

    #[test]
    fn what_breaks_the_contract_is_not_quoted() {
        for forged in [r#"[{"forged\n2026 ERROR":1}]"#, "forged", r#"[{"value":forged}]"#, "{}", "["] {
            let problem = outcomes(forged, 1, 100).unwrap_err();
            assert!(problem.starts_with("its outcomes are not as promised at line 1, column "), "{problem}");
            assert!(!problem.contains("forged"), "{problem}");
        }
    }

    #[test]
    fn nothing_is_read_beyond_the_last_outcome() {
        for forged in [r#"["skip"] forged"#, r#"["skip",forged"#, r#"["skip","skip"]"#, r#"["skip""#] {
            let problem = outcomes(forged, 1, 100).unwrap_err();
            assert!(
                problem.starts_with("what follows its outcomes is not as promised at line 1, column "),
                "{problem}"
            );
            assert!(!problem.contains("forged"), "{problem}");
        }
    }
}
