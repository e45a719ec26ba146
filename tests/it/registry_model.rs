//! The registry against a naive list: random joins, leaves, completions, resubscriptions with equal and other keys, and swaps,
//! while answers are late. After each step the same subscriptions must hear the same, and as many must be left.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use subcast::event::{Channel, Event};
use subcast::graphql;
use subcast::ids::{ConnectionId, OperationId};
use subcast::modules::{Generation, Request};
use subcast::outbox::{Item, Limits, Operation, Outbox, Payload, SlowConsumer};
use subcast::outcome::Outcome;
use subcast::position::Position;
use subcast::principal::Principal;
use subcast::registry::{
    self, Answer, Cohort, Next, Payloads, Preparation, Published, Registry, Subscriber, SubscriptionGuard, Ticket,
};
use subcast::sandbox::{Held, Module};

use crate::support::component::{Field, Handmade};
use crate::support::loader::Loader;

/// Runs of the model, and the most steps of one.
const RUNS: u32 = 1_500;
const STEPS: usize = 80;

/// What one of the fields lets somebody hear.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Wish {
    field: &'static str,
    room: Option<u8>,
    id: Option<u8>,
    kind: Option<u8>,
    /// 0 is anonymous; 1 and 2 have a subject and are `vip`.
    who: u8,
}

/// Which cohort a wish belongs to: all of it, but who somebody is counts only where the resolver sees it.
type Key = (Wish, bool);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Live,
    /// The resolver has completed it; its guard is still there.
    Completed,
    /// The schema that is live has no such field; its guard is still there.
    Unserved,
    Left,
}

struct Subscribed {
    wish: Wish,
    state: State,
    guard: Option<SubscriptionGuard>,
    outbox: Arc<Outbox>,
    expected: Vec<String>,
}

/// An answer on its way.
struct Pending {
    cohort: Arc<Cohort>,
    ticket: Ticket,
    offset: u64,
    completes: bool,
    /// Who had subscribed when the event was published.
    listeners: Vec<usize>,
    /// Of the generation that a swap has replaced.
    is_old: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Join(Wish, u8, bool),
    Leave(usize),
    Publish(Heard, bool),
    Answer(usize),
    Prepare(u8),
    Enter,
    Switch,
    GiveUp,
    Finish,
}

/// An event, as far as filters look at it.
#[derive(Clone, Debug)]
struct Heard {
    channel: u8,
    id: u8,
    kind: u8,
}

struct World<'a> {
    registry: Registry,
    modules: &'a [Arc<Module>],
    stale: Arc<Generation>,
    live: u8,
    offset: Cell<u64>,
    all: Vec<Subscribed>,
    pending: Vec<Pending>,
    preparation: Option<(Preparation, u8)>,
    published: Option<Published>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let few = || proptest::option::of(0..2_u8);
    (0..5_usize, 0..2_u8, few(), few(), 0..3_u8).prop_map(|(field, room, id, kind, who)| {
        let field = ["all", "picked", "apart", "mine", "vip"][field];
        let room = (field == "apart").then_some(room);
        let (id, kind) = match field {
            "picked" => (id, kind),
            "apart" => (id, None),
            _ => (None, None),
        };
        Wish { field, room, id, kind, who }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let heard = (0..3_u8, 0..2_u8, 0..2_u8).prop_map(|(channel, id, kind)| Heard { channel, id, kind });
    prop_oneof![
        8 => (wish(), 0..2_u8, any::<bool>()).prop_map(|(wish, alias, stale)| Step::Join(wish, alias, stale)),
        6 => (0..64_usize).prop_map(Step::Leave),
        6 => (heard, proptest::bool::weighted(0.4)).prop_map(|(heard, completes)| Step::Publish(heard, completes)),
        8 => (0..64_usize).prop_map(Step::Answer),
        1 => (0..3_u8).prop_map(Step::Prepare),
        1 => Just(Step::Enter),
        1 => Just(Step::Switch),
        1 => Just(Step::GiveUp),
        1 => Just(Step::Finish),
    ]
}

/// Module 2 lacks the field `apart`.
fn has(module: u8, wish: &Wish) -> bool {
    module != 2 || wish.field != "apart"
}

impl Wish {
    fn hears(&self, event: &Heard) -> bool {
        let channel = self.room.map_or(0, |room| room + 1);
        channel == event.channel
            && self.id.is_none_or(|id| id == event.id)
            && self.kind.is_none_or(|kind| kind == event.kind)
            && (self.field != "vip" || self.who > 0)
    }

    fn key(&self) -> Key {
        let counts = self.field == "mine";
        let who = if counts { self.who } else { u8::from(self.field == "vip" && self.who > 0) };
        (Self { who, ..self.clone() }, counts)
    }

    fn query(&self, alias: u8) -> String {
        let room = self.room.map(|room| format!("room: \"{room}\""));
        let id = self.id.map(|id| format!("id: {id}"));
        let kind = self.kind.map(|kind| format!("kind: \"{kind}\""));
        let arguments: Vec<_> = [room, id, kind].into_iter().flatten().collect();
        let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        format!("subscription {{ as{alias}: {}{arguments} }}", self.field)
    }

    fn principal(&self) -> Arc<Principal> {
        if self.who == 0 {
            return Arc::new(Principal::anonymous());
        }
        let claims = Map::from_iter([("role".to_owned(), json!("vip"))]);
        Arc::new(Principal::new(Some(self.who.to_string().into()), claims, None, None))
    }
}

impl Heard {
    fn event(&self) -> Event {
        let value = json!({"id": self.id, "kind": self.kind.to_string()});
        let channel = if self.channel == 0 { "c".to_owned() } else { format!("rooms:{}", self.channel - 1) };
        Event {
            id: "1".into(),
            channel: Channel::new(&channel),
            kind: "e".into(),
            time: "2026-01-01T00:00:00Z".into(),
            source: "test".into(),
            data: value.to_string().into(),
            value,
            charge: subcast::event::EventCharge::default(),
        }
    }
}

impl<'a> World<'a> {
    fn new(modules: &'a [Arc<Module>]) -> Self {
        let first = Generation::first(vec![Arc::clone(&modules[0])], graphql::Limits::default()).unwrap();
        let stale = Arc::new(first);
        let registry =
            Registry::new(registry::Limits { per_subject: 1_000, bytes_per_subject: usize::MAX }, Arc::clone(&stale));
        let (all, pending, preparation, published) = Default::default();
        Self { registry, modules, stale, live: 0, offset: Cell::new(0), all, pending, preparation, published }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Join(wish, alias, stale) => self.join(wish, alias, stale),
            Step::Leave(at) => self.leave(at),
            Step::Publish(event, completes) => self.publish(&event, completes),
            Step::Answer(at) => self.answer(at),
            Step::Prepare(module) => {
                if self.preparation.is_none() && self.published.is_none() {
                    let modules = vec![Arc::clone(&self.modules[usize::from(module)])];
                    let next = self.registry.generation().next(modules, graphql::Limits::default()).unwrap();
                    self.preparation = Some((self.registry.prepare(Arc::new(next)), module));
                }
            }
            Step::Enter => {
                if let Some((preparation, _)) = &self.preparation {
                    preparation.enter_all();
                }
            }
            Step::Switch => self.switch(),
            Step::GiveUp => drop(self.preparation.take()),
            Step::Finish => self.finish(),
        }
    }

    /// `planned_before`: by a generation that may have been replaced meanwhile.
    fn join(&mut self, wish: Wish, alias: u8, planned_before: bool) {
        let live = self.registry.generation();
        let generation = if planned_before { Arc::clone(&self.stale) } else { live };
        let query = wish.query(alias);
        let prepared = generation.documents.prepare_to_keep(&query, None, &Map::new());
        let Ok((Request::Subscription(plan), source)) = prepared else {
            assert!(planned_before || !has(self.live, &wish), "{query}");
            return;
        };
        let limits = Limits { messages: 10_000, bytes: 1 << 20, policy: SlowConsumer::Close };
        let outbox = Arc::new(Outbox::new(limits));
        let operation = Arc::new(Operation::new(OperationId::new(&self.all.len().to_string())));
        let subscriber = Subscriber {
            principal: wish.principal(),
            operation,
            outbox: Arc::clone(&outbox),
            payer: ConnectionId::next(),
        };
        let position = || Position { epoch: 1, offset: self.offset.get() };
        match self.registry.subscribe(&generation, plan, source, subscriber, position) {
            Ok(guard) => {
                let (state, guard, expected) = (State::Live, Some(guard), Vec::new());
                self.all.push(Subscribed { wish, state, guard, outbox, expected });
            }
            Err(error) => assert!(!has(self.live, &wish), "{query}: {error}"),
        }
    }

    fn leave(&mut self, at: usize) {
        let present: Vec<_> = (0..self.all.len()).filter(|index| self.all[*index].guard.is_some()).collect();
        if !present.is_empty() {
            let one = &mut self.all[present[at % present.len()]];
            one.state = State::Left;
            drop(one.guard.take());
        }
    }

    /// Who hears an event now, by cohort.
    fn listeners(&self, event: &Heard) -> BTreeMap<Key, Vec<usize>> {
        let mut listeners: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for (index, one) in self.all.iter().enumerate() {
            if one.state == State::Live && one.wish.hears(event) {
                listeners.entry(one.wish.key()).or_default().push(index);
            }
        }
        listeners
    }

    fn publish(&mut self, event: &Heard, completes: bool) {
        let listeners = self.listeners(event);
        let offset = self.offset.get() + 1;
        self.offset.set(offset);
        let mut pending = Vec::new();
        self.registry.matching(&event.event(), |found| {
            for cohort in found.cohorts {
                let members = members(&cohort, offset);
                let own = listeners.values().find(|group| group.iter().copied().collect::<BTreeSet<_>>() == members);
                assert!(own.is_some() || members.is_empty(), "{members:?} of {listeners:?}");
                let (ticket, listeners) = (cohort.reserve(), own.cloned().unwrap_or_default());
                pending.push(Pending { cohort, ticket, offset, completes, listeners, is_old: false });
            }
        });
        let found: usize = pending.iter().filter(|pending| !pending.listeners.is_empty()).count();
        assert_eq!(found, listeners.len(), "each cohort is found once");
        self.pending.extend(pending);
    }

    /// An answer comes, and what its lane lets out is delivered.
    fn answer(&mut self, at: usize) {
        if self.pending.is_empty() {
            return;
        }
        let chosen = &self.pending[at % self.pending.len()];
        let (cohort, ticket) = (Arc::clone(&chosen.cohort), chosen.ticket);
        let outcome = if chosen.completes {
            Outcome::Completed(Some(chosen.offset.to_string()))
        } else {
            Outcome::Value(chosen.offset.to_string())
        };
        let position = Position { epoch: 1, offset: chosen.offset };
        let held = Arc::new(Held::default());
        cohort.fill(ticket, Answer { position, outcome, payloads: Payloads::default(), held });
        while let Next::Answer(answer) = cohort.next() {
            self.deliver(&cohort, &answer);
        }
    }

    fn deliver(&mut self, cohort: &Arc<Cohort>, answer: &Answer) {
        let offset = answer.position.offset;
        let (Outcome::Value(text) | Outcome::Completed(Some(text))) = &answer.outcome else { panic!("{answer:?}") };
        let payload: Payload = text.as_str().into();
        for selection in cohort.waiting(offset) {
            cohort.fan_out(&selection, offset, |member| {
                let _ = member.outbox.push(&member.operation, &payload);
            });
        }
        let completes = matches!(answer.outcome, Outcome::Completed(_));
        if completes {
            cohort.complete(offset);
        }
        let is_it = |pending: &Pending| Arc::ptr_eq(&pending.cohort, cohort) && pending.offset == offset;
        let at = self.pending.iter().position(is_it).expect("it was asked");
        for index in self.pending.remove(at).listeners {
            let one = &mut self.all[index];
            if matches!(one.state, State::Live | State::Unserved) {
                one.expected.push(text.clone());
                if completes {
                    one.expected.push("complete".to_owned());
                    one.state = State::Completed;
                }
            }
        }
    }

    fn switch(&mut self) {
        let Some((preparation, module)) = self.preparation.take() else { return };
        preparation.enter_all();
        let before = self.registry.generation();
        let mut ended = 0;
        let published = preparation.publish(true, |handover| ended = handover.ended.len()).unwrap();
        let mut expected = 0;
        for one in self.all.iter_mut().filter(|one| one.state == State::Live && !has(module, &one.wish)) {
            one.state = State::Unserved;
            expected += 1;
        }
        assert_eq!(ended, expected, "those to which the schema does not fit end");
        assert_eq!(published.moved, self.live_count());
        self.pending.iter_mut().for_each(|pending| pending.is_old = true);
        (self.published, self.live, self.stale) = (Some(published), module, before);
    }

    fn finish(&mut self) {
        while let Some(at) = self.pending.iter().position(|pending| pending.is_old) {
            self.answer(at);
        }
        if let Some(published) = self.published.take() {
            published.finish();
        }
    }

    fn live_count(&self) -> usize {
        self.all.iter().filter(|one| one.state == State::Live).count()
    }

    /// What everybody has heard since the last look, what everybody would hear now, and how many are left.
    fn check(&mut self) {
        for (index, one) in self.all.iter_mut().enumerate() {
            let mut items = Vec::new();
            one.outbox.take(usize::MAX, &mut items);
            let heard = items.into_iter().map(|item| match item {
                Item::Next { payload, .. } => payload.to_string(),
                Item::Complete { .. } => "complete".to_owned(),
                Item::Error { errors, .. } => errors.to_string(),
            });
            let heard: Vec<String> = heard.collect();
            assert_eq!(heard, std::mem::take(&mut one.expected), "subscription {index}: {:?}", one.wish);
        }
        for (channel, id, kind) in [(0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0), (2, 1, 1)] {
            let event = Heard { channel, id, kind };
            let expected: BTreeSet<_> = self.listeners(&event).into_values().flatten().collect();
            let mut found = BTreeSet::new();
            self.registry.matching(&event.event(), |matched| {
                for cohort in matched.cohorts {
                    assert_eq!(cohort.sum(|_| 1), cohort.waiting(u64::MAX).len(), "no group is empty");
                    for member in members(&cohort, u64::MAX) {
                        assert!(found.insert(member), "{member} twice");
                    }
                }
            });
            assert_eq!(found, expected, "who hears {event:?}");
        }
        assert_eq!(self.registry.count(), self.live_count());
    }

    fn end(mut self) {
        drop(self.preparation.take());
        self.finish();
        self.check();
        while self.all.iter().any(|one| one.guard.is_some()) {
            self.leave(0);
            self.check();
        }
        assert!(self.registry.is_empty(), "{:?}", self.registry);
    }
}

/// The numbers of those who would get an answer to an event of this offset.
fn members(cohort: &Cohort, offset: u64) -> BTreeSet<usize> {
    let mut members = BTreeSet::new();
    for selection in cohort.waiting(offset) {
        cohort.fan_out(&selection, offset, |member| {
            let id: Value = serde_json::from_str(member.operation.id.as_str()).unwrap();
            assert!(member.since < offset && members.insert(usize::try_from(id.as_u64().unwrap()).unwrap()));
        });
    }
    members
}

fn module(number: u8) -> Handmade {
    let matched = |arguments: &[&str]| arguments.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
    let mut fields = vec![
        Field::named("all"),
        Field { matches: matched(&["id", "kind"]), ..Field::named("picked") },
        Field { context: true, ..Field::named("mine") },
        Field { predicate: Some("claims.role == \"vip\"".to_owned()), ..Field::named("vip") },
    ];
    let mut schema = "all: Int picked(id: Int, kind: String): Int mine: Int vip: Int".to_owned();
    if number < 2 {
        fields.push(Field { channel: "rooms:{room}".to_owned(), matches: matched(&["id"]), ..Field::named("apart") });
        schema.push_str(" apart(room: String!, id: Int): Int");
    }
    fields[0].function = format!("of_module_{number}");
    Handmade { schema: format!("type Subscription {{ {schema} }}").into_bytes(), fields, ..Handmade::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_does_what_a_naive_list_does() {
    let loader = Loader::new();
    let mut modules = Vec::new();
    for number in 0..3 {
        modules.push(loader.load(&module(number).encode()).await.unwrap());
    }
    let config = Config { cases: RUNS, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let run = runner.run(&proptest::collection::vec(step(), 1..STEPS), |steps| {
        let mut world = World::new(&modules);
        for step in steps {
            world.take(step);
            world.check();
        }
        world.end();
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}
