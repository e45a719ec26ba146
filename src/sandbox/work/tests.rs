//! A pool's state against a naive twin: random submissions, wakes, ends of idle times, batches and closings.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::{Channel, Event};
use crate::outcome::{Invocation, Job, Tenant};
use crate::sandbox::thread::Thread;

/// What a slot is about, as its own task knows it.
#[derive(Debug)]
enum Doing {
    /// It has not asked for work yet.
    Starts,
    /// It waits for a permit or its timer. `woken`: somebody took it from the idle ones and left a permit.
    Waits {
        woken: bool,
    },
    Works(Running),
    /// Its batch has ended, and it starts an instance before it asks for more: nobody to wait for.
    Prepares,
    Ended,
}

/// What happens next. Numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Submit {
        field: usize,
        tenant: u8,
    },
    /// A slot that starts or was woken asks for work; one that works finishes, and asks at once or later.
    Act {
        slot: usize,
        stopped: bool,
        asks_later: bool,
    },
    /// A permit from before wakes a slot for nothing.
    Spurious {
        slot: usize,
    },
    /// An idle time ends, perhaps in the moment of a wake.
    TimesOut {
        slot: usize,
    },
    Relief,
    Passes {
        milliseconds: u64,
    },
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2_usize, 0..3_u8).prop_map(|(field, tenant)| Step::Submit { field, tenant }),
        8 => (any::<usize>(), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(slot, stopped, asks_later)| Step::Act { slot, stopped, asks_later }),
        1 => any::<usize>().prop_map(|slot| Step::Spurious { slot }),
        3 => any::<usize>().prop_map(|slot| Step::TimesOut { slot }),
        2 => Just(Step::Relief),
        1 => (0..20_u64).prop_map(|milliseconds| Step::Passes { milliseconds }),
    ];
    (prop::collection::vec(step, 1..200), any::<bool>()).prop_map(|(mut steps, closes)| {
        if closes {
            steps.push(Step::Close);
        }
        steps
    })
}

const FIELDS: [&str; 2] = ["a", "b"];
const WARM: usize = 2;

struct Twin {
    work: Work,
    slots: Vec<(Arc<Slot>, Bond, Doing)>,
    thread: Arc<Thread>,
    relief: bool,
    now: Instant,
}

impl Twin {
    fn new(isolation: Isolation) -> Self {
        let limits = Limits { instances: 4, isolation, ..Limits::default() };
        let queues = Queues::new(&FIELDS.map(Arc::from), &limits);
        let work = Work::new(queues, &limits, WARM);
        let mut twin = Self { work, slots: Vec::new(), thread: Thread::absent(), relief: false, now: Instant::now() };
        (0..WARM).for_each(|_| twin.grow());
        twin
    }

    fn grow(&mut self) {
        (self.work.slots, self.work.starting) = (self.work.slots + 1, self.work.starting + 1);
        let bond = if self.work.isolation == Isolation::PerTenant { Bond::Free } else { Bond::Anyone };
        self.slots.push((Slot::new(&self.thread), bond, Doing::Starts));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit { field, tenant } => {
                let (help, pushed) = self.work.submit(FIELDS[field], piece(tenant, self.now), self.now);
                drop(pushed);
                self.give(help);
            }
            Step::Act { slot, stopped, asks_later } => {
                let ready = |doing: &Doing| {
                    matches!(doing, Doing::Starts | Doing::Waits { woken: true } | Doing::Works(_) | Doing::Prepares)
                };
                let Some(nth) = self.choose(slot, ready) else { return };
                match std::mem::replace(&mut self.slots[nth].2, Doing::Ended) {
                    Doing::Works(running) => {
                        let how = if stopped { Finished::Stopped } else { Finished::Well(Duration::from_micros(50)) };
                        let (help, _) = self.work.finish(&running, how, self.now);
                        self.give(help);
                        if asks_later {
                            // As one does that starts an instance first.
                            self.slots[nth].2 = Doing::Prepares;
                            let help = self.work.release(&mut self.slots[nth].1, self.now);
                            self.give(help);
                            return;
                        }
                    }
                    Doing::Starts => self.work.starting -= 1,
                    _ => {}
                }
                self.asks(nth);
            }
            Step::Spurious { slot } => {
                if let Some(nth) = self.choose(slot, |doing| matches!(doing, Doing::Waits { .. })) {
                    self.asks(nth);
                }
            }
            Step::TimesOut { slot } => {
                let Some(nth) = self.choose(slot, |doing| matches!(doing, Doing::Waits { .. })) else { return };
                let Doing::Waits { woken } = self.slots[nth].2 else { return };
                let surplus = self.work.slots > WARM;
                let ends = self.work.may_end(&Arc::clone(&self.slots[nth].0));
                assert_eq!(ends, !woken && surplus, "a slot that was woken does not end, nor does one that is to stay");
                if ends {
                    let (slot, bond, doing) = &mut self.slots[nth];
                    *doing = Doing::Ended;
                    let help = self.work.leave(&Arc::clone(slot), bond, self.now);
                    self.give(help);
                } else {
                    self.asks(nth);
                }
            }
            Step::Relief if self.relief => match self.work.relieve(self.now) {
                Relief::Over => self.relief = false,
                Relief::Again => {}
                Relief::Grow => self.grow(),
                Relief::Wake(slot) => self.woken(&slot),
            },
            Step::Relief => {}
            Step::Passes { milliseconds } => self.now += Duration::from_millis(milliseconds),
            Step::Close => {
                let (_, woken) = self.work.close();
                for slot in &woken {
                    self.woken(slot);
                }
                let sleeps = |doing: &Doing| matches!(doing, Doing::Waits { woken: false });
                assert!(!self.slots.iter().any(|slot| sleeps(&slot.2)), "a slot sleeps on although the pool is closed");
            }
        }
    }

    /// One of those of which this holds.
    fn choose(&self, number: usize, holds: impl Fn(&Doing) -> bool) -> Option<usize> {
        let fitting: Vec<_> = (0..self.slots.len()).filter(|&nth| holds(&self.slots[nth].2)).collect();
        fitting.get(number % fitting.len().max(1)).copied()
    }

    fn asks(&mut self, nth: usize) {
        let (slot, bond, doing) = &mut self.slots[nth];
        let turn = self.work.next(slot, bond, self.now);
        *doing = match turn.next {
            Next::Work(batch) => Doing::Works(batch.running),
            Next::Wait => Doing::Waits { woken: false },
            Next::End => Doing::Ended,
        };
        self.give(turn.help);
    }

    fn give(&mut self, help: Help) {
        match help {
            Help::None => {}
            Help::Wake(slot) => self.woken(&slot),
            Help::Relieve => {
                assert!(!self.relief, "relief is on its way already");
                self.relief = true;
            }
        }
    }

    fn woken(&mut self, slot: &Arc<Slot>) {
        let (_, _, doing) = self.slots.iter_mut().find(|(known, ..)| Arc::ptr_eq(known, slot)).unwrap();
        assert!(matches!(doing, Doing::Waits { woken: false }), "a slot is woken that does not sleep: {doing:?}");
        *doing = Doing::Waits { woken: true };
    }

    fn check(&self) {
        let asleep: Vec<_> = self.slots.iter().filter(|slot| matches!(slot.2, Doing::Waits { woken: false })).collect();
        let idle: Vec<_> = self.work.idle.iter().collect();
        assert_eq!(asleep.len(), idle.len(), "each slot that sleeps is idle once");
        assert!(asleep.iter().all(|slot| idle.iter().any(|idle| Arc::ptr_eq(&idle.slot, &slot.0))));
        let coming =
            self.slots.iter().any(|slot| matches!(slot.2, Doing::Starts | Doing::Waits { woken: true })) || self.relief;
        let waits = idle.iter().any(|idle| match idle.bond {
            Bond::Anyone => self.work.queues.has_work(),
            _ => self.work.queues.fit(&idle.bond, self.now).is_some(),
        });
        assert!(coming || !waits || self.work.closed, "something waits that an idle slot could do, and nobody comes");
    }
}

fn piece(tenant: u8, now: Instant) -> Piece {
    let event = Event {
        id: "1".into(),
        channel: Channel::new("c"),
        kind: "t".into(),
        time: "".into(),
        source: "".into(),
        data: "{}".into(),
        value: serde_json::Value::Null,
        charge: crate::event::EventCharge::default(),
    };
    let tenant: Tenant = Some(tenant.to_string().into());
    let invocation = Invocation { arguments: Arc::from("{}"), principal: None, tenant, payer: None };
    let job = Job { field: Arc::from("f"), event: Arc::new(event), invocations: vec![invocation] };
    Piece::whole(job, Arc::new(|_| {}), now)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_happens_each_slot_is_idle_once_and_what_waits_is_not_left_alone(
        steps in steps(),
        isolation in prop_oneof![Just(Isolation::Shared), Just(Isolation::PerCall), Just(Isolation::PerTenant)],
    ) {
        let mut twin = Twin::new(isolation);
        for step in steps {
            twin.step(step);
            twin.check();
        }
    }
}

/// A field never holds the last instance: its second piece becomes work only when the first has ended.
#[test]
fn the_end_of_a_batch_wakes_a_slot_for_what_became_runnable() {
    let limits = Limits { instances: 2, isolation: Isolation::PerCall, ..Limits::default() };
    let mut twin = Twin::new(Isolation::PerCall);
    twin.work = Work::new(Queues::new(&FIELDS.map(Arc::from), &limits), &limits, WARM);
    (twin.work.slots, twin.work.starting) = (2, 2);
    twin.step(Step::Submit { field: 0, tenant: 0 });
    twin.step(Step::Submit { field: 0, tenant: 0 });
    (0..2).for_each(|slot| twin.step(Step::Act { slot, stopped: false, asks_later: true }));
    assert!(matches!(twin.slots[0].2, Doing::Works(_)) && matches!(twin.slots[1].2, Doing::Waits { woken: false }));
    let Doing::Works(running) = std::mem::replace(&mut twin.slots[0].2, Doing::Ended) else { unreachable!() };
    // The slot of the first piece starts an instance now, which takes milliseconds.
    let (help, _) = twin.work.finish(&running, Finished::Well(Duration::from_micros(50)), twin.now);
    assert!(matches!(help, Help::Wake(slot) if Arc::ptr_eq(&slot, &twin.slots[1].0)));
}

/// Relief came for a piece that has been taken since; the one that came a moment after it is not late yet.
#[test]
fn relief_stays_for_a_piece_that_is_not_late_yet() {
    let mut twin = Twin::new(Isolation::PerTenant);
    (0..2).for_each(|_| twin.step(Step::Act { slot: 0, stopped: false, asks_later: false }));
    twin.step(Step::Submit { field: 0, tenant: 0 });
    twin.step(Step::Act { slot: 0, stopped: false, asks_later: false });
    // Its only instance is busy, and another one idles: help is due after three milliseconds.
    twin.step(Step::Submit { field: 1, tenant: 0 });
    assert!(twin.relief);
    twin.now += Duration::from_millis(2);
    twin.step(Step::Relief);
    assert!(twin.relief, "the piece still waits");
    twin.now += Duration::from_millis(2);
    twin.step(Step::Relief);
    assert!(twin.slots.iter().any(|slot| matches!(slot.2, Doing::Waits { woken: true } | Doing::Starts)));
}
