//! The path of an event: match, resolve once per cohort, project once per plan, push into outboxes.
//!
//! [`Delivery::deliver`] runs on the publisher's thread, under the order of the event's channel: it matches, reserves a
//! place in each cohort's lane and hands jobs to the sandbox. Answers come back piece by piece and in any order into the inbox; one task,
//! [`Delivery::run`], puts them into their lanes and delivers what is next in each. A field whose resolver hangs
//! therefore holds back its own cohorts and nobody else.

mod drain;
mod failure;
mod inbox;
mod large;
mod metrics;
mod payers;
mod succession;

use std::sync::Arc;
use std::time::Instant;

use crate::bus::Sequenced;
use crate::fault;
use crate::graphql::{Projected, Selection};
use crate::outbox::{Payload, Pushed};
use crate::outcome::{Failure, Invocation, Job, Outcome};
use crate::pace;
use crate::position::Position;
use crate::registry::{Answer, Cohort, Match, Member, Next, Payloads, Preparation, Published, Registry, Ticket, Unfit};
use crate::sandbox::{Module, Part, Sandbox};
use crate::supervision::caught;
use crate::text::{foreign, foreign_error};
pub use drain::Drain;
use failure::FailureLog;
use inbox::{Inbox, Message, Resolved, WayBack};
use large::{Large, LargeValues, Spent};
pub use metrics::Metrics;
use parking_lot::Mutex;
use succession::{Drained, Succession};

/// After so many pushes in a row the other tasks of the thread get a turn, so that connections write while a large
/// fan-out is still going on.
const PUSHES_PER_TURN: usize = 512;
/// Niceness of a thread that projects a large value: guests come first.
const NICENESS: i32 = 10;

/// Dispatches events. A cheap handle.
#[derive(Clone, Debug)]
pub struct Delivery {
    shared: Arc<Shared>,
}

/// The modules for which events were published.
#[derive(Debug, Default)]
pub struct Reached(Vec<Arc<Module>>);

impl Reached {
    /// A few at most: those that have fields for the events.
    fn add(&mut self, module: &Arc<Module>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, module)) {
            self.0.push(Arc::clone(module));
        }
    }
}

#[derive(Debug)]
struct Shared {
    registry: Registry,
    sandbox: Sandbox,
    inbox: Arc<Inbox>,
    failures: FailureLog,
    metrics: Metrics,
}

impl Delivery {
    /// A dispatcher from the subscriptions of `registry` to the instances of `sandbox` and back.
    #[must_use]
    pub fn new(registry: Registry, sandbox: Sandbox) -> Self {
        let (inbox, failures, metrics) = (Arc::default(), FailureLog::default(), Metrics::default());
        Self { shared: Arc::new(Shared { registry, sandbox, inbox, failures, metrics }) }
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Starts dispatching one event. Quick, and never waits; call it in the order of the event's channel. Adds the modules
    /// whose resolvers it is for.
    pub fn deliver(&self, sequenced: &Sequenced, reached: &mut Reached) {
        // A panic must not end the publisher's batch in the middle.
        let found = caught("publish", || {
            self.shared.registry.matching(&sequenced.event, |found| {
                reached.add(&found.module);
                self.submit(sequenced, found);
            })
        });
        if found == Some(false) {
            let event = &sequenced.event;
            tracing::debug!(event = %foreign(&event.id), channel = %foreign(&event.channel), r#type = %foreign(&event.kind), "no subscription matches this event");
        }
    }

    /// Makes a prepared generation the live one, between two events. What the one before still owes is delivered first,
    /// subscription by subscription; see [`Drain`].
    pub fn switch(&self, preparation: Preparation, may_end: bool) -> Result<(Published, Drain), Vec<Unfit>> {
        let (drained, number, receiver) = Drained::new();
        let published =
            preparation.publish(may_end, |handover| self.shared.inbox.put(Message::Handover(handover, drained)))?;
        Ok((published, Drain { number, drained: receiver, inbox: Arc::clone(&self.shared.inbox) }))
    }

    fn submit(&self, sequenced: &Sequenced, found: Match) {
        let Match { field, module, cohorts } = found;
        let payers = payers::assign(&cohorts);
        let asked = |(cohort, payer): (&Arc<Cohort>, _)| Invocation { payer, ..cohort.invocation() };
        let invocations: Vec<_> = cohorts.iter().zip(payers).map(asked).collect();
        self.shared.metrics.invocations.inc_by(invocations.len() as u64);
        let resolved = Resolved {
            position: sequenced.position,
            event: Arc::clone(&sequenced.event),
            module: Arc::clone(&module),
            tickets: Vec::new(),
            started: Instant::now(),
            spent: Spent::default(),
        };
        let way = WayBack::reserve(&self.shared.inbox, resolved, cohorts);
        fault::point("submit", &sequenced.event.id);
        let job = Job { field: Arc::clone(&field.name), event: Arc::clone(&sequenced.event), invocations };
        self.shared.sandbox.submit(&module, job, Arc::new(move |part| way.answer(part)));
    }

    /// Resolves once what was reached has room again: publishers wait here after each batch. A module that has much to do
    /// holds back those who publish for it, and nobody else.
    pub async fn ready(&self, Reached(modules): Reached) {
        self.shared.sandbox.ready(&modules).await;
        self.shared.inbox.ready().await;
    }

    /// Whether publishers need not wait now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.sandbox.has_room() && self.shared.inbox.has_room()
    }

    /// Delivers answers until it is dropped. Exactly one task runs this; answers that are not delivered by then are lost
    /// with the process.
    pub async fn run(&self) {
        let (mut batch, mut state) = (Vec::new(), State::default());
        loop {
            self.shared.inbox.take(&mut batch).await;
            let mut pushes = 0;
            for message in batch.drain(..) {
                fault::point("deliver", message.event());
                pushes += self.handle(message, &mut state);
                if let Some(large) = state.large.start() {
                    self.project_beside(large);
                }
                if pushes >= PUSHES_PER_TURN {
                    pushes = 0;
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Does what a message asks for. A panic costs the answer that it happened in: its members get an error, and its lane
    /// goes on. Returns the pushes made.
    fn handle(&self, message: Message, state: &mut State) -> usize {
        match message {
            Message::Resolved(resolved, part) => self.settle(&resolved, part, state),
            Message::Lost(resolved) => self.settle_lost(&resolved, state),
            Message::Projected(large) => {
                state.large.finish();
                let (cohort, ticket, position) = (Arc::clone(&large.cohort), large.ticket, large.answer.position);
                let pushes = caught("delivery", || self.projected(large, state));
                pushes.unwrap_or_else(|| self.lose(&cohort, ticket, position, state))
            }
            Message::Handover(handover, drained) => {
                let ended = caught("delivery", || state.succession.hand_over(handover, drained));
                if let Some(ended) = ended {
                    end(ended);
                    return 0;
                }
                // The order between the generations is only half known: no cohort waits then, so that none waits for ever.
                let free = state.succession.give_up();
                free.into_iter().map(|cohort| self.deliver_next(&cohort, &mut state.succession)).sum()
            }
            Message::Overdue(number) => {
                let overdue = state.succession.overdue(number);
                overdue.into_iter().map(|cohort| self.write_off(&cohort, &mut state.succession)).sum()
            }
        }
    }

    /// Files some outcomes of a job into their lanes and delivers whatever is next in each. Returns the pushes made.
    fn settle(&self, resolved: &Resolved, part: Part, state: &mut State) -> usize {
        self.shared.metrics.resolve_seconds.observe(resolved.started.elapsed().as_secs_f64());
        let Resolved { position, event, module, tickets, spent, .. } = resolved;
        let (position, mut pushes, held) = (*position, 0, Arc::new(part.held));
        for (place, outcome) in part.outcomes {
            let Some((cohort, ticket)) = tickets.get(place) else { continue };
            let filed = caught("delivery", || {
                fault::point("settle", &event.id);
                let outcome = match outcome {
                    Outcome::Failed(failure) => self.shared.failures.settle(failure, &cohort.field, module, event),
                    outcome => outcome,
                };
                let is_large = spent.is_large(cohort, &outcome);
                let answer = Answer { position, outcome, payloads: Payloads::default(), held: Arc::clone(&held) };
                if is_large {
                    let (module, cohort) = (Arc::clone(module), Arc::clone(cohort));
                    state.large.push(Large { module, cohort, ticket: *ticket, answer, left: None });
                    return 0;
                }
                cohort.fill(*ticket, answer);
                self.deliver_next(cohort, &mut state.succession)
            });
            pushes += filed.unwrap_or_else(|| self.lose(cohort, *ticket, position, state));
        }
        pushes
    }

    /// Fills each place of a lane that a job has left open with an error: the sandbox has lost the job. Places that are filled
    /// ignore it.
    fn settle_lost(&self, resolved: &Resolved, state: &mut State) -> usize {
        let tickets = resolved.tickets.iter();
        tickets.map(|(cohort, ticket)| self.lose(cohort, *ticket, resolved.position, state)).sum()
    }

    /// A large value has had a turn.
    fn projected(&self, mut large: Large, state: &mut State) -> usize {
        if large.left().is_empty() {
            large.cohort.fill(large.ticket, large.answer);
            return self.deliver_next(&large.cohort, &mut state.succession);
        }
        state.large.push_again(large);
        0
    }

    /// An answer is lost: its members get an error in its place, unless they have got it already.
    fn lose(&self, cohort: &Arc<Cohort>, ticket: Ticket, position: Position, state: &mut State) -> usize {
        let outcome = Outcome::Failed(failure::internal(&cohort.field));
        let (payloads, held) = (Payloads::default(), Arc::default());
        cohort.fill(ticket, Answer { position, outcome, payloads, held });
        caught("delivery", || self.deliver_next(cohort, &mut state.succession)).unwrap_or_default()
    }

    /// Ends the wait for a cohort's outstanding answers: its members get an error for each.
    fn write_off(&self, cohort: &Arc<Cohort>, succession: &mut Succession) -> usize {
        let mut pushes = self.deliver_next(cohort, succession);
        while cohort.skip() {
            let failure = failure::internal(&cohort.field);
            for selection in cohort.waiting(u64::MAX) {
                pushes += self.push(cohort, &selection, &errors(&selection, &failure), u64::MAX);
            }
            pushes += self.deliver_next(cohort, succession);
        }
        pushes
    }

    /// Projects a large value on a thread that is less important than those that serve sockets. It ends by itself, in
    /// milliseconds; its result finds nobody if dispatch has ended meanwhile.
    fn project_beside(&self, large: Large) {
        let (delivery, slot) = (self.clone(), Arc::new(Mutex::new(Some(large))));
        let taken = Arc::clone(&slot);
        let work = move || {
            let _ = rustix::process::setpriority_process(None, NICENESS);
            if let Some(large) = taken.lock().take() {
                delivery.project_large(large);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("subcast-large".to_owned()).spawn(work) {
            tracing::warn!(error = %foreign_error(&error), "failed to start a thread; a large value is projected where everybody waits for it");
            if let Some(large) = slot.lock().take() {
                self.project_large(large);
            }
        }
    }

    /// Projects a large value for those who are to get it, as far as one turn goes. It comes back whatever happens, since
    /// others wait behind it.
    fn project_large(&self, mut large: Large) {
        if caught("large values", || self.project_turn(&mut large)).is_none() {
            let failure = failure::internal(&large.cohort.field);
            large.fail(failure);
        }
        self.shared.inbox.put(Message::Projected(large));
    }

    fn project_turn(&self, large: &mut Large) {
        let mut made = 0;
        while made < large::TURN
            && let Some(selection) = large.left().pop()
        {
            let Large { cohort, answer, .. } = large;
            fault::point("project large", text_of(&answer.outcome));
            // The kernel lets who computes go on for several milliseconds, also while those wait that serve sockets.
            let gently = |value: &str, text: &mut String| selection.project_gently(value, pace::pause, text);
            if let Some(mut payload) = self.payload(cohort, &selection, &answer.outcome, gently) {
                // Also what there is no room for has taken its time.
                made += payload.len();
                if !answer.held.grow(payload.len()) {
                    payload = errors(&selection, &Failure::no_room());
                }
                answer.payloads.insert(selection, payload);
            }
            pace::pause();
        }
    }

    /// Delivers what is next in the cohort's lane, and what had to wait for that.
    fn deliver_next(&self, cohort: &Arc<Cohort>, succession: &mut Succession) -> usize {
        if succession.holds(cohort) {
            return 0;
        }
        let mut pushes = 0;
        // This task is the only one that takes answers out, so the order holds although the lane is not locked meanwhile.
        let owes_more = loop {
            match cohort.next() {
                Next::Answer(answer) => pushes += caught("delivery", || self.answer(cohort, answer)).unwrap_or(0),
                Next::Waiting => break true,
                Next::Nothing => break false,
            }
        };
        if !owes_more && let Some(released) = succession.release(cohort) {
            end(released.ended);
            // As deep as generations that wait for each other.
            for successor in released.cohorts {
                pushes += self.deliver_next(&successor, succession);
            }
        }
        pushes
    }

    /// One answer to all members of the cohort that had joined before the event.
    fn answer(&self, cohort: &Cohort, Answer { position, outcome, payloads, held: _held }: Answer) -> usize {
        let mut pushes = 0;
        for selection in cohort.waiting(position.offset) {
            let ready = payloads.get(&selection).cloned();
            let briskly = |value: &str, text: &mut String| selection.project(value, text);
            if let Some(payload) = ready.or_else(|| self.payload(cohort, &selection, &outcome, briskly)) {
                self.shared.metrics.projections.inc();
                pushes += self.push(cohort, &selection, &payload, position.offset);
            }
        }
        if matches!(outcome, Outcome::Completed(_)) {
            pushes += cohort.complete(position.offset);
        }
        pushes
    }

    /// What those get who selected this; nothing, if there is nothing for anyone.
    fn payload(
        &self,
        cohort: &Cohort,
        selection: &Selection,
        outcome: &Outcome,
        project: impl FnOnce(&str, &mut String) -> Projected,
    ) -> Option<Payload> {
        match outcome {
            Outcome::Skip | Outcome::Completed(None) => None,
            Outcome::Value(value) | Outcome::Completed(Some(value)) => {
                // The text of the whole value bounds most projections; growing costs more than the few bytes left over.
                let mut text = String::with_capacity(value.len() + 64);
                let projected = caught("projection", || {
                    fault::point("project", value);
                    project(value, &mut text)
                });
                let Some(projected) = projected else {
                    return Some(errors(selection, &failure::internal(&cohort.field)));
                };
                if projected.errors > 0 {
                    self.shared.metrics.projection_errors.inc();
                    self.shared.failures.misfit(&projected, &cohort.field);
                }
                Some(Payload::from(text))
            }
            Outcome::Failed(failure) => Some(errors(selection, failure)),
        }
    }

    fn push(&self, cohort: &Cohort, selection: &Arc<Selection>, payload: &Payload, offset: u64) -> usize {
        let (mut dropped, mut pushed) = (0, 0);
        cohort.fan_out(selection, offset, |member| {
            pushed += 1;
            if let Pushed::Dropped(count) = member.outbox.push(&member.operation, payload) {
                dropped += count;
            }
        });
        self.shared.metrics.deliveries.inc_by(pushed as u64);
        self.shared.metrics.dropped.inc_by(dropped);
        pushed
    }
}

/// The payload of a failure for this selection.
fn errors(selection: &Selection, failure: &Failure) -> Payload {
    let mut text = String::new();
    selection.project_error(failure::to_graphql(failure), &mut text);
    Payload::from(text)
}

/// The value of an outcome, for tests to plant a fault by.
fn text_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Value(value) | Outcome::Completed(Some(value)) => value,
        Outcome::Skip | Outcome::Completed(None) | Outcome::Failed(_) => "",
    }
}

/// What the delivering task knows of what is under way.
#[derive(Debug, Default)]
struct State {
    succession: Succession,
    large: LargeValues,
}

/// Ends subscriptions to which the schema does not fit any more.
fn end(members: Vec<Member>) {
    const ERRORS: &str = r#"[{"message":"The schema has changed, and this operation does not fit it any more; subscribe again","extensions":{"code":"SCHEMA_CHANGED"}}]"#;
    if members.is_empty() {
        return;
    }
    let errors: Arc<str> = Arc::from(ERRORS);
    for Member { operation, outbox, .. } in members {
        outbox.error(&operation, Arc::clone(&errors));
    }
}
