//! One connection, from the first message to the last: the protocol core on one side, the registry on the other.
//!
//! A session has no socket and no task. A driver (a thin loop in `server/`, another one for embedding) feeds it what
//! arrives and writes what it asks for:
//!
//! 1. `handle_text`, `handle_binary`, `handle_pong`, `handle_timeout` with what happened;
//! 2. `handle_outbox` when [`Session::outbox`] is ready;
//! 3. `poll_decision`, and while it is pending nothing is read: the client has not come in yet, or an operation that takes
//!    long is being prepared beside, and answers keep the order of the messages;
//! 4. `poll_transmit` until it is empty, and write;
//! 5. wait for the socket, the outbox, the decision, or [`Session::poll_timeout`].
//!
//! After [`Transmit::Close`] nothing more comes out. Dropping the session ends its subscriptions.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use crate::aside::Aside;
use crate::auth::{Authenticator, Decision, Refused, Shown};
use crate::budget::{Budget, Charge};
use crate::bus::MemoryBus;
use crate::fault;
use crate::graphql::{GraphqlError, Plan};
use crate::ids::{ConnectionId, OperationId};
use crate::modules::{Generation, Request as Prepared, Source};
use crate::outbox::{self, Item, Operation, Outbox};
use crate::principal::Principal;
use crate::protocol::transport_ws::{Config, Connection};
use crate::protocol::{CloseCode, CloseReason, Output, Request};
use crate::registry::{EndReason, Registry, SubscribeError, Subscriber, SubscriptionGuard, kept_bytes};
use crate::text::foreign;

/// What all sessions of a host share.
#[derive(Debug)]
pub struct Services {
    /// Live subscriptions, and the generation that serves them.
    pub registry: Registry,
    /// Where positions come from.
    pub bus: Arc<MemoryBus>,
    /// Who may come in.
    pub authenticator: Authenticator,
    /// Rules of the protocol.
    pub protocol: Arc<Config>,
    /// Bounds of each connection's outbox.
    pub outbox: outbox::Limits,
    /// Bytes that the subscriptions of one connection keep; see [`kept_bytes`].
    pub bytes_per_connection: usize,
    /// Where operations are prepared that take long.
    pub aside: Aside,
    /// For answers to introspection that are not read yet, over all connections.
    pub answers: Budget,
}

/// What the driver writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transmit {
    /// A text frame.
    Text(String),
    /// A WebSocket ping frame.
    Ping,
    /// A close frame; then the socket is done.
    Close(CloseCode, CloseReason),
}

/// How many waiting results are turned into frames at a time: enough to share a system call, few enough to stay fair.
const FRAMES_PER_TURN: usize = 256;

/// One connection. See the module for the order of calls.
#[derive(Debug)]
pub struct Session {
    id: ConnectionId,
    services: Arc<Services>,
    connection: Connection,
    outbox: Arc<Outbox>,
    /// Headers of the request that tell who it is, until the client has introduced itself.
    headers: Vec<(String, String)>,
    /// Who it is, while that is being decided.
    deciding: Option<Deciding>,
    /// An operation, while it is prepared beside.
    preparing: Option<Preparing>,
    /// Set by a successful `connection_init`.
    principal: Option<Arc<Principal>>,
    subscriptions: HashMap<OperationId, Live>,
    /// Bytes that they keep.
    kept: usize,
    /// For answers in `ready`, or on their way to the socket.
    answers: Vec<Charge>,
    /// Frames of results, ready to be written, and what the core wanted sent.
    ready: VecDeque<Transmit>,
    /// Bytes of text in `ready`.
    ready_bytes: usize,
    /// Why what is left ends when the session is dropped.
    end: EndReason,
    closed: bool,
}

/// A decision on its way.
struct Deciding {
    decision: Decision,
    /// Whether the client has just introduced itself; otherwise it shows a new token.
    is_first: bool,
}

impl fmt::Debug for Deciding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deciding").field("is_first", &self.is_first).finish_non_exhaustive()
    }
}

/// An operation on its way to be prepared.
struct Preparing {
    id: OperationId,
    prepared: Pin<Box<dyn Future<Output = Result<Operable, Vec<GraphqlError>>> + Send>>,
}

impl fmt::Debug for Preparing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preparing").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An operation that can be executed.
enum Operable {
    Subscription { generation: Arc<Generation>, plan: Plan, source: Source },
    Answered(Arc<str>),
}

impl Operable {
    fn prepare(generation: Arc<Generation>, request: &Request) -> Result<Self, Vec<GraphqlError>> {
        let Request { query, operation_name, variables, .. } = request;
        match generation.documents.prepare_to_keep(query, operation_name.as_deref(), variables)? {
            (Prepared::Response(response), _) => Ok(Self::Answered(response)),
            (Prepared::Subscription(plan), source) => Ok(Self::Subscription { generation, plan, source }),
        }
    }
}

#[derive(Debug)]
struct Live {
    operation: Arc<Operation>,
    guard: SubscriptionGuard,
    /// Bytes that it keeps.
    bytes: usize,
}

impl Session {
    /// A session for a socket that was just accepted. `headers` are those that [`Authenticator::reads`].
    #[must_use]
    pub fn new(services: Arc<Services>, headers: Vec<(String, String)>, now: Instant) -> Self {
        Self {
            id: ConnectionId::next(),
            connection: Connection::new(Arc::clone(&services.protocol), now),
            outbox: Arc::new(Outbox::new(services.outbox)),
            services,
            headers,
            deciding: None,
            preparing: None,
            principal: None,
            subscriptions: HashMap::new(),
            kept: 0,
            answers: Vec::new(),
            ready: VecDeque::new(),
            ready_bytes: 0,
            end: EndReason::ConnectionClosed,
            closed: false,
        }
    }

    /// The connection's number, for the log.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// What the driver waits for besides the socket and the clock.
    #[must_use]
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// A text frame arrived.
    pub fn handle_text(&mut self, text: &str, now: Instant) {
        fault::point("session", text);
        self.connection.handle_text(text, now);
        self.advance();
    }

    /// A binary frame arrived.
    pub fn handle_binary(&mut self, now: Instant) {
        self.connection.handle_binary(now);
        self.advance();
    }

    /// Any other sign of life arrived: a pong or a ping frame.
    pub fn handle_pong(&mut self, now: Instant) {
        self.connection.handle_pong(now);
        self.advance();
    }

    /// The time of [`Session::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now);
        self.advance();
    }

    /// Results wait in the outbox.
    pub fn handle_outbox(&mut self) {
        if self.outbox.overflowed() {
            self.close(
                CloseCode::TryAgainLater,
                "Slow consumer: results were not read in time",
                EndReason::SlowConsumer,
            );
            return;
        }
        let mut items = Vec::new();
        self.outbox.take(FRAMES_PER_TURN, &mut items);
        for item in items {
            self.handle_item(item);
        }
        self.advance();
    }

    /// The host shuts down.
    pub fn drain(&mut self) {
        self.close(CloseCode::ServiceRestart, "Service restart", EndReason::Drained);
    }

    /// When to call [`Session::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    /// Whether it is not decided yet who the client is, or an operation is being prepared.
    #[must_use]
    pub fn is_deciding(&self) -> bool {
        self.deciding.is_some() || self.preparing.is_some()
    }

    /// Goes on once it is decided who the client is, and once an operation is prepared. Pending while it is not; ready if
    /// there is nothing to wait for.
    pub fn poll_decision(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(deciding) = &mut self.deciding {
            let Poll::Ready(decided) = deciding.decision.as_mut().poll(cx) else { return Poll::Pending };
            let is_first = deciding.is_first;
            self.deciding = None;
            if is_first {
                self.authenticated(decided);
            } else {
                self.refreshed(decided);
            }
            self.advance();
        }
        while let Some(preparing) = &mut self.preparing {
            let Poll::Ready(prepared) = preparing.prepared.as_mut().poll(cx) else { return Poll::Pending };
            if let Some(Preparing { id, .. }) = self.preparing.take() {
                self.prepared(&id, prepared);
            }
            self.advance();
        }
        Poll::Ready(())
    }

    /// What to write next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = self.ready.pop_front();
        if let Some(Transmit::Text(text)) = &transmit {
            self.ready_bytes -= text.len();
        } else if transmit.is_none() {
            self.handle_flushed();
        }
        transmit
    }

    /// All that was transmitted has left for the client. Implied when [`Session::poll_transmit`] has nothing more.
    pub fn handle_flushed(&mut self) {
        if self.ready.is_empty() {
            self.answers = Vec::new();
        }
    }

    /// Whether something waits to be written.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What waits to be written: frames, and bytes of text. Both grow with what the client sends, so a driver that cannot
    /// write must stop reading.
    #[must_use]
    pub fn backlog(&self) -> (usize, usize) {
        (self.ready.len(), self.ready_bytes)
    }

    /// Bytes that its subscriptions keep. For inspection.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.kept
    }

    fn send(&mut self, text: String) {
        self.ready_bytes += text.len();
        self.ready.push_back(Transmit::Text(text));
    }

    fn close(&mut self, code: CloseCode, reason: &str, end: EndReason) {
        if !self.closed {
            self.end = end;
            self.connection.close(code, reason);
            self.advance();
        }
    }

    fn handle_item(&mut self, item: Item) {
        match item {
            Item::Next { operation, payload, dropped } => {
                if !self.connection.is_active(&operation.id) || !self.is_current(&operation) {
                    return;
                }
                let frame = if dropped == 0 {
                    operation.prefix.frame(&payload)
                } else {
                    operation.prefix.frame(&with_dropped(&payload, dropped))
                };
                self.send(frame);
            }
            Item::Complete { operation } => {
                if self.end_subscription(&operation, EndReason::ResolverCompleted) {
                    self.connection.complete(&operation.id);
                    self.advance();
                }
            }
            Item::Error { operation, errors } => {
                if self.end_subscription(&operation, EndReason::SchemaChanged) {
                    self.connection.error(&operation.id, &errors);
                    self.advance();
                }
            }
        }
    }

    /// An id may be in use again for another operation while results of the former one still wait.
    fn is_current(&self, operation: &Arc<Operation>) -> bool {
        self.subscriptions.get(&operation.id).is_some_and(|live| Arc::ptr_eq(&live.operation, operation))
    }

    fn end_subscription(&mut self, operation: &Arc<Operation>, reason: EndReason) -> bool {
        if !self.is_current(operation) {
            return false;
        }
        self.remove(&operation.id, reason);
        true
    }

    /// Ends a subscription, if there is one of this id.
    fn remove(&mut self, id: &OperationId, reason: EndReason) -> bool {
        let Some(live) = self.subscriptions.remove(id) else { return false };
        self.kept -= live.bytes;
        live.guard.end(reason);
        true
    }

    /// Does what the core asks for until it asks for nothing more.
    fn advance(&mut self) {
        while let Some(output) = self.connection.poll_output() {
            match output {
                Output::Authenticate { payload } => self.authenticate(payload),
                Output::Subscribe { id, request } => self.subscribe(id, request),
                Output::Unsubscribe { id } => self.unsubscribe(&id),
                Output::Refresh { authorization } => self.refresh(authorization),
                Output::Send(text) => self.send(text),
                Output::Ping => self.ready.push_back(Transmit::Ping),
                Output::Close { code, reason } => {
                    if !self.closed && self.end == EndReason::ConnectionClosed {
                        self.end = EndReason::ProtocolViolation;
                    }
                    self.closed = true;
                    tracing::debug!(connection = %self.id, code = code.as_u16(), reason = %foreign(reason.as_str()), "closing");
                    self.ready.push_back(Transmit::Close(code, reason));
                }
            }
        }
    }

    fn authenticate(&mut self, payload: Option<serde_json::Map<String, serde_json::Value>>) {
        let shown = Shown { payload, headers: std::mem::take(&mut self.headers) };
        self.decide(shown, true);
    }

    fn refresh(&mut self, authorization: String) {
        let shown = Shown { payload: None, headers: vec![("authorization".to_owned(), authorization)] };
        self.decide(shown, false);
    }

    /// Most decisions are made here and now. Others are polled; the driver reads nothing meanwhile, so there is one at
    /// most.
    fn decide(&mut self, shown: Shown, is_first: bool) {
        let decision = self.services.authenticator.decide(shown);
        self.deciding = Some(Deciding { decision, is_first });
        let _ = self.poll_decision(&mut Context::from_waker(std::task::Waker::noop()));
    }

    fn authenticated(&mut self, decided: Result<Arc<Principal>, Refused>) {
        match decided {
            Ok(principal) => {
                self.principal = Some(principal);
                self.connection.accept();
            }
            Err(refused) => {
                self.services.authenticator.refusals().report(&refused, Some(self.id));
                self.connection.reject();
            }
        }
    }

    /// A new token on a live connection. It must be the same subject with the same rights: live subscriptions stand on
    /// those. Anyone else is closed with 4403, and comes back with the new token.
    fn refreshed(&mut self, decided: Result<Arc<Principal>, Refused>) {
        let Some(current) = &self.principal else { return };
        match decided {
            Ok(principal) if principal.may_replace(current) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
                let expires_in = principal.expires_at.map(|at| at.saturating_sub(now));
                self.principal = Some(principal);
                self.connection.refreshed(expires_in);
            }
            Ok(_) => {
                self.services.authenticator.refusals().report_other(self.id);
                self.connection.reject();
            }
            Err(refused) => {
                self.services.authenticator.refusals().report(&refused, Some(self.id));
                self.connection.reject();
            }
        }
    }

    /// Prepares an operation: here if that is quick, otherwise beside, and nothing is read meanwhile.
    fn subscribe(&mut self, id: OperationId, request: Request) {
        let generation = self.services.registry.generation();
        let Request { query, operation_name, variables, .. } = &request;
        if generation.documents.is_quick(query, operation_name.as_deref(), variables) {
            let prepared = Operable::prepare(generation, &request);
            return self.prepared(&id, prepared);
        }
        let aside = self.services.aside.clone();
        let prepared = Box::pin(async move {
            match aside.run(move || Operable::prepare(generation, &request)).await {
                Ok(prepared) => prepared,
                Err(panicked) => Err(vec![GraphqlError::new(panicked.to_string())]),
            }
        });
        self.preparing = Some(Preparing { id, prepared });
        let _ = self.poll_decision(&mut Context::from_waker(std::task::Waker::noop()));
    }

    fn prepared(&mut self, id: &OperationId, prepared: Result<Operable, Vec<GraphqlError>>) {
        match prepared {
            Ok(Operable::Subscription { generation, plan, source }) => self.register(id, &generation, plan, source),
            Ok(Operable::Answered(response)) => self.answer(id, &response),
            Err(errors) => self.refuse(id, &errors),
        }
    }

    /// Sends the answer of a query. It is as large as the schema, so clients that do not read share a bound.
    fn answer(&mut self, id: &OperationId, response: &str) {
        let Some(charge) = self.services.answers.charge(response.len()) else {
            return self.refuse(id, &[busy()]);
        };
        if self.connection.start(id)
            && let Some(frame) = self.connection.next(id, response)
        {
            self.answers.push(charge);
            self.send(frame);
            self.connection.complete(id);
        }
    }

    fn register(&mut self, id: &OperationId, generation: &Arc<Generation>, plan: Plan, source: Source) {
        let Some(principal) = self.principal.clone() else { return };
        let Services { bus, registry, bytes_per_connection, .. } = &*self.services;
        let bytes = kept_bytes(&plan, &source);
        if self.kept + bytes > *bytes_per_connection {
            registry.metrics().refused("bytes_per_connection");
            let message = format!(
                "the subscriptions of this connection would keep more than {bytes_per_connection} bytes (documents, variables, arguments and selections), the limit of [limits] bytes_per_connection; end one first"
            );
            return self.refuse(id, &[GraphqlError::new(message)]);
        }
        if !self.connection.start(id) {
            return;
        }
        let operation = Arc::new(Operation::new(id.clone()));
        let (outbox, payer) = (Arc::clone(&self.outbox), self.id);
        let subscriber = Subscriber { principal, operation: Arc::clone(&operation), outbox, payer };
        let field = Arc::clone(&plan.field);
        match registry.subscribe(generation, plan, source, subscriber, || bus.position()) {
            Ok(guard) => {
                tracing::debug!(connection = %self.id, subscription = %guard.id(), %field, "subscribed");
                self.kept += bytes;
                self.subscriptions.insert(id.clone(), Live { operation, guard, bytes });
            }
            Err(SubscribeError::Operation(errors)) => self.refuse(id, &errors),
            Err(error) => self.refuse(id, &[GraphqlError::new(error.to_string())]),
        }
    }

    fn refuse(&mut self, id: &OperationId, errors: &[GraphqlError]) {
        let errors =
            serde_json::to_string(errors).unwrap_or_else(|_| r#"[{"message":"Invalid operation"}]"#.to_owned());
        self.connection.error(id, &errors);
    }

    fn unsubscribe(&mut self, id: &OperationId) {
        if self.remove(id, EndReason::ClientCompleted) {
            self.outbox.forget(id);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for (_, live) in self.subscriptions.drain() {
            live.guard.end(self.end);
        }
    }
}

/// The error of an answer for which there is no room.
#[must_use]
pub fn busy() -> GraphqlError {
    GraphqlError::new("too many answers wait for clients that do not read them; try again later")
}

/// The payload, told how many results were dropped before it. Payloads of the projection are objects without extensions.
fn with_dropped(payload: &str, dropped: u64) -> String {
    let body = payload.strip_suffix('}').unwrap_or(payload);
    format!(r#"{body},"extensions":{{"subcast":{{"dropped":{dropped}}}}}}}"#)
}
