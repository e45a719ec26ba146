//! `subcast subscribe`: one operation, its payloads line by line.

use std::num::NonZero;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::failure::Failure;
use super::signals::Signals;
use super::{output, text, wait_for};
use crate::server::remote::{Address, Operation, Subscription};

/// What a URL names.
pub(super) const HOST: &str = "The host, for example http://127.0.0.1:8000";

/// Subscribe, and print each payload as one line of JSON
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(value_name = "URL", value_parser = Address::parse, help = HOST)]
    url: Address,
    /// GraphQL operation, or @FILE
    operation: String,
    /// Its variables as a JSON object, or @FILE
    #[arg(long, value_name = "JSON")]
    variables: Option<String>,
    /// Token to show the host
    #[arg(long, value_name = "TOKEN", env = "SUBCAST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// End after so many payloads
    #[arg(long, value_name = "N")]
    count: Option<NonZero<u64>>,
    /// How to connect
    #[arg(long, value_enum, default_value_t = Transport::Ws)]
    transport: Transport,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Transport {
    /// WebSocket, graphql-transport-ws
    Ws,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Transport::Ws = arguments.transport;
    let operation = Operation {
        query: text::read(&arguments.operation)?,
        variables: arguments.variables.as_deref().map(variables).transpose()?.unwrap_or_default(),
    };
    wait_for(subscribe(arguments, &operation))
}

fn variables(argument: &str) -> Result<Map<String, Value>, Failure> {
    let text = text::read(argument)?;
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("--variables is not a JSON object: {error}")))
}

/// Ends well after the wanted number of payloads, when the operation completes, and on Ctrl-C.
async fn subscribe(arguments: &Arguments, operation: &Operation) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let token = arguments.token.as_deref().map(bare);
    let mut subscription = tokio::select! {
        opened = Subscription::open(&arguments.url, token, operation) => opened.map_err(Failure::failed)?,
        () = signals.next() => return Ok(()),
    };
    let mut seen = 0;
    while arguments.count.is_none_or(|count| seen < count.get()) {
        let payload = tokio::select! {
            payload = subscription.next() => payload.map_err(Failure::failed)?,
            () = signals.next() => break,
        };
        match payload {
            Some(payload) => output::line(payload)?,
            None => return Ok(()),
        }
        seen += 1;
    }
    subscription.close().await;
    Ok(())
}

/// The token alone: people paste it with the word that goes before it.
pub(super) fn bare(token: &str) -> &str {
    let token = token.trim();
    match token.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => token,
    }
}
