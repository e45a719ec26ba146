//! The state of one connection. See the [module](super) for states, call order and choices.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;

use super::Config;
use super::keep_alive::{KeepAlive, Silence};
use super::message::{self, ClientMessage, Malformed, Nesting};
use crate::footprint;
use crate::ids::OperationId;
use crate::protocol::frame::{self, FramePrefix};
use crate::protocol::request::{RawRequest, Unreadable};
use crate::protocol::{CloseCode, CloseReason, Output};

/// One `graphql-transport-ws` connection: `handle_*` what happened, command what was decided, then `poll_output` until
/// `None`, then `poll_timeout`. An idle one takes less than a kilobyte, its queue included.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    phase: Phase,
    keep_alive: KeepAlive,
    operations: HashMap<OperationId, Operation>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// Nothing but pings until `connection_init`, which must come before this instant.
    AwaitingInit { deadline: Instant },
    /// `connection_init` came, `accept` or `reject` has not.
    Authenticating,
    /// Operations are welcome.
    Acknowledged,
    /// `Output::Close` is queued or was taken. Nothing matters any more.
    Closed,
}

#[derive(Debug)]
enum Operation {
    /// `Output::Subscribe` was queued; the id is taken, but nothing may be sent for it.
    Preparing,
    Active(FramePrefix),
}

/// What the client did, or did not do, that ends the connection.
struct Violation(CloseCode, CloseReason);

impl Connection {
    /// A connection that was opened now and awaits `connection_init`.
    #[must_use]
    pub fn new(config: Arc<Config>, now: Instant) -> Self {
        Self {
            phase: Phase::AwaitingInit { deadline: now + config.init_timeout },
            keep_alive: KeepAlive::Heard(now),
            operations: HashMap::new(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// A text message arrived.
    pub fn handle_text(&mut self, text: &str, now: Instant) {
        self.keep_alive = KeepAlive::Heard(now);
        if self.is_closed() {
            return;
        }
        if let Err(Violation(code, reason)) = self.handle_message(text) {
            self.close(code, reason.as_str());
        }
    }

    /// A binary message arrived. The protocol has none.
    pub fn handle_binary(&mut self, now: Instant) {
        self.keep_alive = KeepAlive::Heard(now);
        self.close(CloseCode::BadRequest, "Binary messages are not part of the protocol");
    }

    /// Any other frame arrived: a pong, or a ping that the WebSocket library has answered. Both are signs of life.
    pub fn handle_pong(&mut self, now: Instant) {
        self.keep_alive = KeepAlive::Heard(now);
    }

    /// Time has passed. Harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Closed => return,
            Phase::AwaitingInit { deadline } if deadline <= now => {
                return self.close(CloseCode::InitialisationTimeout, "Connection initialisation timeout");
            }
            _ => {}
        }
        match self.keep_alive.handle_timeout(&self.config, now) {
            Silence::Short => {}
            Silence::Ask => self.outputs.push_back(Output::Ping),
            Silence::Dead => self.close(CloseCode::Timeout, "No pong received in time"),
        }
    }

    /// When to call [`Self::handle_timeout`]; `None` once closed. Changes with every call: ask again after each.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let silence = self.keep_alive.deadline(&self.config);
        match self.phase {
            Phase::Closed => None,
            Phase::AwaitingInit { deadline } => Some(deadline.min(silence)),
            Phase::Authenticating | Phase::Acknowledged => Some(silence),
        }
    }

    /// What to do next; `None` when there is nothing left to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Authentication said yes. The state is set before the acknowledgement leaves, so that an operation which the
    /// client sends the moment it sees it is never taken for early. Ignored unless authentication is awaited.
    pub fn accept(&mut self) {
        if matches!(self.phase, Phase::Authenticating) {
            self.phase = Phase::Acknowledged;
            self.send(frame::bare_frame("connection_ack", None));
        }
    }

    /// The credential was refused, has expired or was revoked: closes with 4403, at any time.
    pub fn reject(&mut self) {
        self.close(CloseCode::Forbidden, "Forbidden");
    }

    /// The token of [`Output::Refresh`] holds, for so many seconds if it says so. Answers the ping that brought it.
    pub fn refreshed(&mut self, expires_in: Option<u64>) {
        if matches!(self.phase, Phase::Acknowledged) {
            let expiry = expires_in.map_or_else(String::new, |seconds| format!(r#","expiresIn":{seconds}"#));
            self.send(frame::bare_frame("pong", Some(&format!(r#"{{"authorized":true{expiry}}}"#))));
        }
    }

    /// Queues a protocol-level `ping` with this payload, a JSON object. Ignored before the acknowledgement.
    pub fn ping(&mut self, payload: &str) {
        if matches!(self.phase, Phase::Acknowledged) {
            self.send(frame::bare_frame("ping", Some(payload)));
        }
    }

    /// Preparation succeeded: from here on `next` gives frames. `false` if the client stopped the operation meanwhile.
    ///
    /// On [`Output::Unsubscribe`] a driver must forget the preparation: were it to call `start` later, it might start a
    /// younger operation that uses the same id.
    pub fn start(&mut self, id: &OperationId) -> bool {
        match self.operations.get_mut(id) {
            Some(operation @ Operation::Preparing) => {
                *operation = Operation::Active(FramePrefix::new(id));
                true
            }
            Some(Operation::Active(_)) | None => false,
        }
    }

    /// Whether the operation was started and has not ended.
    #[must_use]
    pub fn is_active(&self, id: &OperationId) -> bool {
        matches!(self.operations.get(id), Some(Operation::Active(_)))
    }

    /// Operations that take an id: being prepared or active.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.len()
    }

    /// The `next` message around this `ExecutionResult`, to be sent now, after all outputs; `None` if the operation is
    /// not active, and then nothing may be sent for it.
    pub fn next(&mut self, id: &OperationId, payload: &str) -> Option<String> {
        match self.operations.get(id) {
            Some(Operation::Active(prefix)) => Some(prefix.frame(payload)),
            Some(Operation::Preparing) | None => None,
        }
    }

    /// Ends an operation with a JSON array of at least one GraphQL error. Ignored if it has ended.
    pub fn error(&mut self, id: &OperationId, errors_json: &str) {
        if self.operations.remove(id).is_some() {
            self.send(frame::error_frame(id, errors_json));
        }
    }

    /// Ends an operation after its last result. Ignored if it has ended: the client's own `complete` is never echoed.
    pub fn complete(&mut self, id: &OperationId) {
        if self.operations.remove(id).is_some() {
            self.send(frame::complete_frame(id));
        }
    }

    /// Ends the connection and all its operations. Only messages that were queued still come out before the close.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        if self.is_closed() {
            return;
        }
        self.phase = Phase::Closed;
        self.operations = HashMap::new();
        self.outputs.retain(|output| matches!(output, Output::Send(_)));
        self.outputs.push_back(Output::Close { code, reason: CloseReason::new(reason) });
    }

    /// Whether the end was decided; [`Output::Close`] may still wait to be taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    fn handle_message(&mut self, text: &str) -> Result<(), Violation> {
        match ClientMessage::parse(text, self.config.max_depth)? {
            ClientMessage::ConnectionInit { payload } => self.handle_init(payload),
            ClientMessage::Ping { payload } => self.handle_ping(payload),
            ClientMessage::Pong => Ok(()),
            ClientMessage::Subscribe { id, request, nesting } => self.handle_subscribe(id, request, nesting),
            ClientMessage::Complete { id } => {
                // An id that is not in use is no violation: the server's own `complete` may have crossed this one.
                if self.operations.remove(&id).is_some() {
                    self.outputs.push_back(Output::Unsubscribe { id });
                }
                Ok(())
            }
        }
    }

    fn handle_init(&mut self, payload: Option<&RawValue>) -> Result<(), Violation> {
        if !matches!(self.phase, Phase::AwaitingInit { .. }) {
            let code = CloseCode::TooManyInitialisationRequests;
            return Err(Violation::new(code, "Too many initialisation requests"));
        }
        if payload.is_some_and(|json| footprint::of_text(json.get()) > self.config.max_inputs) {
            return Err(Violation::new(CloseCode::BadRequest, "The payload of connection_init is too large"));
        }
        let payload = payload.map(|json| serde_json::from_str(json.get())).transpose();
        let payload = payload.map_err(|_| Malformed::Invalid)?;
        self.phase = Phase::Authenticating;
        self.outputs.push_back(Output::Authenticate { payload });
        Ok(())
    }

    fn handle_ping(&mut self, payload: Option<&RawValue>) -> Result<(), Violation> {
        let token = payload.map(message::authorization).transpose()?.flatten();
        match token {
            None => self.send(frame::bare_frame("pong", payload.map(RawValue::get))),
            Some(authorization) if matches!(self.phase, Phase::Acknowledged) => {
                self.outputs.push_back(Output::Refresh { authorization });
            }
            Some(_) => self.send(frame::bare_frame("pong", None)),
        }
        Ok(())
    }

    fn handle_subscribe(
        &mut self,
        id: OperationId,
        request: RawRequest<'_>,
        nesting: Nesting,
    ) -> Result<(), Violation> {
        if !matches!(self.phase, Phase::Acknowledged) {
            return Err(Violation::new(CloseCode::Unauthorized, "Unauthorized"));
        }
        let in_use = self.operations.len();
        let Entry::Vacant(place) = self.operations.entry(id.clone()) else {
            let reason = format!("Subscriber for {id} already exists");
            return Err(Violation::new(CloseCode::SubscriberAlreadyExists, &reason));
        };
        if in_use >= self.config.max_operations {
            let limit = self.config.max_operations;
            let message = format!("This connection already has {limit} subscriptions, which is its limit");
            self.refuse(&id, &message, "TOO_MANY_SUBSCRIPTIONS");
        } else if nesting == Nesting::TooDeep {
            let message = format!("The message is nested more than {} levels deep", self.config.max_depth);
            self.refuse(&id, &message, "TOO_DEEP");
        } else if request.footprint() > self.config.max_inputs {
            let most = self.config.max_inputs;
            let message = Unreadable::TooLarge { most }.to_string();
            self.refuse(&id, &message, "TOO_LARGE");
        } else {
            let request = request.build().ok_or(Malformed::Invalid)?;
            place.insert(Operation::Preparing);
            self.outputs.push_back(Output::Subscribe { id, request });
        }
        Ok(())
    }

    fn refuse(&mut self, id: &OperationId, message: &str, code: &str) {
        self.send(frame::error_frame(id, &frame::refusal(message, code)));
    }

    fn send(&mut self, text: String) {
        self.outputs.push_back(Output::Send(text));
    }
}

impl Violation {
    fn new(code: CloseCode, reason: &str) -> Self {
        Self(code, CloseReason::new(reason))
    }
}

impl From<Malformed> for Violation {
    fn from(malformed: Malformed) -> Self {
        Self::new(CloseCode::BadRequest, &malformed.to_string())
    }
}
