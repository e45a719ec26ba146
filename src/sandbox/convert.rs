//! Between the records of the contract and our words. Going in, nothing is copied.

use super::bindings::exports::subcast::resolver::resolvers as wit;
use super::bindings::subcast::resolver::types;
use super::call::{Question, Request};
use crate::manifest::{Equality, FieldManifest, Manifest};
use crate::outcome::{Failure, Outcome};

/// Fields of one module.
const MOST_FIELDS: usize = 1_000;
/// Bytes of each text of a failure.
const FAILURE_BYTES: usize = 16 << 10;

/// The request's invocations as the contract has them.
pub(super) fn invocations<'a>(request: &'a Request<'_>) -> Vec<wit::Invocation<'a>> {
    request
        .questions
        .iter()
        .map(|question| wit::Invocation {
            arguments: &question.invocation.arguments,
            principal: question.invocation.principal.as_deref().map(|principal| types::Principal {
                subject: principal.subject.as_deref(),
                claims: &principal.claims_json,
            }),
        })
        .collect()
}

/// One job per event, with its share of the invocations.
pub(super) fn jobs<'a>(request: &'a Request<'_>, mut invocations: &'a [wit::Invocation<'a>]) -> Vec<wit::Job<'a>> {
    request
        .questions
        .chunk_by(Question::same_event)
        .map(|questions| {
            let event = questions[0].event;
            let (own, rest) = invocations.split_at(questions.len());
            invocations = rest;
            let event = types::Event {
                id: &event.id,
                channel: event.channel.as_str(),
                type_: &event.kind,
                time: &event.time,
                source: &event.source,
                data: &event.data,
            };
            wit::Job { field: request.field, event, invocations: own }
        })
        .collect()
}

/// The answers in one row; refused unless there is one for each invocation.
pub(super) fn outcomes(
    answers: Vec<Vec<wit::Outcome>>,
    jobs: &[wit::Job<'_>],
    most_bytes: usize,
) -> Result<Vec<Outcome>, String> {
    if answers.len() != jobs.len() {
        return Err(format!("{} answers to {} jobs", answers.len(), jobs.len()));
    }
    let mut row = Vec::with_capacity(jobs.iter().map(|job| job.invocations.len()).sum());
    for (answer, job) in answers.into_iter().zip(jobs) {
        if answer.len() != job.invocations.len() {
            return Err(format!("{} answers to {} invocations", answer.len(), job.invocations.len()));
        }
        row.extend(answer.into_iter().map(|answer| outcome(answer, most_bytes)));
    }
    Ok(row)
}

fn outcome(answer: wit::Outcome, most_bytes: usize) -> Outcome {
    let outcome = match answer {
        wit::Outcome::Value(value) => Outcome::Value(value),
        wit::Outcome::Skip => Outcome::Skip,
        wit::Outcome::Completed(value) => Outcome::Completed(value),
        wit::Outcome::Failed(failure) => return Outcome::Failed(bounded(failure)),
    };
    match &outcome {
        Outcome::Value(value) | Outcome::Completed(Some(value)) if value.len() > most_bytes => {
            let message = format!("the resolver returned {} bytes, more than its {most_bytes}", value.len());
            Outcome::Failed(Failure { message, ..Failure::default() })
        }
        _ => outcome,
    }
}

fn bounded(failure: types::Failure) -> Failure {
    let types::Failure { message, code, extensions, expose, traceback } = failure;
    Failure {
        message: cut(message),
        code: code.map(cut),
        // Cutting JSON would break it.
        extensions: extensions.filter(|extensions| extensions.len() <= FAILURE_BYTES),
        expose,
        traceback: traceback.map(cut),
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(FAILURE_BYTES));
    text
}

/// The module's own description, checked for what would harm the host.
pub(super) fn manifest(manifest: wit::Manifest) -> Result<Manifest, String> {
    let wit::Manifest { sdk, schema, fields, capabilities, extensions: _ } = manifest;
    if fields.len() > MOST_FIELDS {
        return Err(format!("{} fields, more than {MOST_FIELDS}", fields.len()));
    }
    Ok(Manifest { sdk, schema, fields: fields.into_iter().map(field).collect(), capabilities })
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
