//! `subcast publish`: one event, or a file or stream of them.

mod batch;

use std::fs::File;
use std::io::{self, Read};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::subscribe::HOST;
use super::terminal::Progress;
use super::token::credential;
use super::{output, text, wait_for};
use crate::server::remote::{Address, PublishError, Publisher};
use batch::{Batch, Batches};

/// Publish one event, or many as NDJSON
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(value_name = "URL", value_parser = Address::parse, help = HOST)]
    url: Address,
    /// Channel to publish to
    #[arg(long, required_unless_present = "ndjson")]
    channel: Option<String>,
    /// What happened, for example userUpdated
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "ndjson")]
    kind: Option<String>,
    /// The event's data, or @FILE
    #[arg(long, value_name = "JSON", required_unless_present = "ndjson")]
    data: Option<String>,
    /// Whole events, one JSON object per line; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["channel", "kind", "data"])]
    ndjson: Option<String>,
    /// Token of the host's publish route [default: what a host of this user on this machine has drawn]
    #[arg(long, value_name = "TOKEN", env = "SUBCAST_PUBLISH_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print {"accepted": N}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Event<'a> {
    channel: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    data: &'a RawValue,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let credential = credential(arguments.token.as_deref());
    let mut publisher = Publisher::new(arguments.url.clone(), credential).map_err(Failure::failed)?;
    let accepted = if let Some(file) = &arguments.ndjson {
        wait_for(publish_lines(&mut publisher, file))?
    } else {
        let body = event(arguments)?;
        wait_for(async { publisher.publish("application/json", body).await.map_err(Failure::failed) })?
    };
    if arguments.json {
        output::json(&json!({ "accepted": accepted }))
    } else {
        output::line(format_args!("published {}", text::count(accepted, "event")))
    }
}

fn event(arguments: &Arguments) -> Result<String, Failure> {
    let given = |value: &Option<String>| value.clone().unwrap_or_default();
    let data = text::read(&given(&arguments.data))?;
    let data: &RawValue =
        serde_json::from_str(&data).map_err(|error| Failure::usage(format!("--data is not JSON: {error}")))?;
    let (channel, kind) = (given(&arguments.channel), given(&arguments.kind));
    serde_json::to_string(&Event { channel: &channel, kind: &kind, data }).map_err(Failure::failed)
}

/// Publishes batch after batch, each as soon as it is there. Each is published as a whole or not at all.
async fn publish_lines(publisher: &mut Publisher, file: &str) -> Result<u64, Failure> {
    let source: Box<dyn Read> = match file {
        "-" => Box::new(io::stdin()),
        path => Box::new(File::open(path).map_err(|error| Failure::failed(format!("failed to open {path}: {error}")))?),
    };
    let progress = Progress::start("publishing");
    let mut batches = Batches::new(source);
    let mut accepted = 0;
    while let Some(batch) =
        batches.next().map_err(|error| Failure::failed(format!("failed to read {file}: {error}")))?
    {
        let mut waiting = vec![batch];
        while let Some(batch) = waiting.pop() {
            match publisher.publish("application/x-ndjson", batch.text.clone()).await {
                Ok(number) => accepted += number,
                // The host's limits may be lower than ours.
                Err(PublishError::TooLarge(_)) if batch.lines > 1 => {
                    let (first, second) = batch.halves();
                    waiting.extend([second, first]);
                }
                Err(error) => {
                    let (reason, before) = (located(error, &batch), text::count(accepted, "event"));
                    return Err(Failure::failed(format!("{reason} ({before} published before)")));
                }
            }
            progress.say(format_args!("published {}", text::count(accepted, "event")));
        }
    }
    Ok(accepted)
}

/// The error with the line's number in the whole input.
fn located(error: PublishError, batch: &Batch) -> PublishError {
    let locate = |message: String| batch.located(&message).unwrap_or(message);
    match error {
        PublishError::Refused(message) => PublishError::Refused(locate(message)),
        PublishError::TooLarge(message) => PublishError::TooLarge(locate(message)),
        other => other,
    }
}
