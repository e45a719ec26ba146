//! From publish to the outboxes, resolvers included.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Map;
use subcast::delivery::Reached;
use subcast::ids::{ConnectionId, OperationId};
use subcast::modules::Request;
use subcast::outbox::{Operation, Outbox};
use subcast::principal::Principal;
use subcast::protocol::publish::Published;
use subcast::registry::{Subscriber, SubscriptionGuard};

use crate::{Engine, measure, principal, report, user_event};

/// How the end of a delivery is awaited.
#[derive(Clone, Copy)]
enum Wait {
    /// Without a wake-up of its own, on a core that the sandbox does not need: it resolves one invocation.
    Spinning,
    /// As connections do. One that spins would take a core from a sandbox that has work for two.
    Asleep,
}

type Subscribed = Vec<(SubscriptionGuard, Arc<Outbox>)>;

impl Engine {
    pub(crate) async fn dispatch(&self) {
        let anonymous = Arc::new(Principal::anonymous());
        let one = |_| self.subscribe("{ userUpdated { id name email } }", Arc::clone(&anonymous));
        let title = "dispatch: 1 event → 100 subscriptions of 1 cohort";
        self.deliver(title, (0..100).map(one).collect(), 2_000, Wait::Spinning).await;
        let by_argument =
            |n| self.subscribe(&format!("{{ numbered(n: {n}) {{ id name email }} }}"), Arc::clone(&anonymous));
        let title = "dispatch: 1 event → 100 cohorts by argument";
        self.deliver(title, (0..100).map(by_argument).collect(), 500, Wait::Asleep).await;
        let by_principal = |n| self.subscribe("{ mine { id name email } }", principal(n));
        let title = "dispatch: 1 event → 100 principals with context";
        self.deliver(title, (0..100).map(by_principal).collect(), 500, Wait::Asleep).await;
        let title = "dispatch: 1 event → 10,000 principals with context";
        self.deliver(title, (0..10_000).map(by_principal).collect(), 10, Wait::Asleep).await;
        self.beside().await;
    }

    /// From publish until the last outbox has it.
    async fn deliver(&self, title: &str, subscriptions: Subscribed, rounds: usize, wait: Wait) {
        let counter = &self.runtime.delivery().metrics().deliveries;
        let mut times = Vec::new();
        for n in 0..rounds {
            let all = counter.get() + subscriptions.len() as u64;
            let start = Instant::now();
            self.publish(n as u64);
            match wait {
                Wait::Spinning => {
                    while counter.get() < all {
                        tokio::task::yield_now().await;
                    }
                }
                Wait::Asleep => {
                    for (_, outbox) in &subscriptions {
                        poll_fn(|cx| outbox.poll_ready(cx)).await;
                    }
                }
            }
            times.push(start.elapsed());
            empty(&subscriptions);
        }
        report(title, &times, 1);
    }

    pub(crate) async fn index(&self) {
        for subscribers in [1_000, 50_000] {
            self.indexed(subscribers).await;
        }
    }

    /// Each event matches one of many.
    async fn indexed(&self, subscribers: usize) {
        let anonymous = Arc::new(Principal::anonymous());
        let by_id =
            |n| self.subscribe(&format!("{{ userUpdated(id: \"{n}\") {{ id name email }} }}"), Arc::clone(&anonymous));
        let subscriptions: Subscribed = (0..subscribers).map(by_id).collect();
        let counter = &self.runtime.delivery().metrics().deliveries;
        let (rounds, batch) = (40, 500);
        let mut times = Vec::new();
        for round in 0..rounds {
            let before = counter.get();
            let start = Instant::now();
            for n in 0..batch {
                self.publish((round * batch + n) % 1_000);
            }
            while counter.get() < before + batch {
                tokio::time::sleep(Duration::from_micros(50)).await;
            }
            times.push(start.elapsed());
            empty(&subscriptions);
        }
        let title = format!("index: {subscribers} subscriptions with an id of their own, per event that matches one");
        report(&title, &times, 500);

        // What matching alone costs, without the resolver.
        let registry = &self.runtime.services().registry;
        let events: Vec<_> = (0..1_000).map(user_event).collect();
        let times = measure(50, |_| {
            let start = Instant::now();
            for event in &events {
                let mut found = 0;
                registry.matching(event, |_| found += 1);
                assert_eq!(found, 1);
            }
            start.elapsed()
        });
        report(&format!("index: {subscribers} subscriptions, look-up alone"), &times, 1_000);
    }

    /// Latency of one connection beside others that have many arguments of the same field.
    async fn beside(&self) {
        let anonymous = Arc::new(Principal::anonymous());
        let numbered = |n: usize, payer| {
            let selection = format!("{{ numbered(n: {n}) {{ id name email }} }}");
            self.subscribe_for(&selection, Arc::clone(&anonymous), payer)
        };
        for others in [0, 10] {
            let payers: Vec<_> = (0..others).map(|_| ConnectionId::next()).collect();
            let flood: Subscribed = payers
                .iter()
                .enumerate()
                .flat_map(|(nth, payer)| (0..100).map(move |n| (nth * 100 + n, *payer)))
                .map(|(n, payer)| numbered(n, payer))
                .collect();
            let quiet = vec![numbered(1_000_000, ConnectionId::next())];
            let counter = &self.runtime.delivery().metrics().deliveries;
            let mut times = Vec::new();
            for n in 0..200 {
                let all = counter.get() + flood.len() as u64 + 1;
                let start = Instant::now();
                self.publish(n);
                poll_fn(|cx| quiet[0].1.poll_ready(cx)).await;
                times.push(start.elapsed());
                while counter.get() < all {
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
                empty(&quiet);
                empty(&flood);
            }
            let title = format!("dispatch: 1 subscription beside {others} connections × 100 arguments of its field");
            report(&title, &times, 1);
        }
    }

    fn subscribe(&self, selection: &str, principal: Arc<Principal>) -> (SubscriptionGuard, Arc<Outbox>) {
        self.subscribe_for(selection, principal, ConnectionId::next())
    }

    fn subscribe_for(
        &self,
        selection: &str,
        principal: Arc<Principal>,
        payer: ConnectionId,
    ) -> (SubscriptionGuard, Arc<Outbox>) {
        let services = self.runtime.services();
        let generation = services.registry.generation();
        let query = format!("subscription {selection}");
        let (plan, source) = match generation.documents.prepare_to_keep(&query, None, &Map::new()) {
            Ok((Request::Subscription(plan), source)) => (plan, source),
            other => panic!("{query}: {other:?}"),
        };
        let outbox = Arc::new(Outbox::new(services.outbox));
        let operation = Arc::new(Operation::new(OperationId::new("1")));
        let subscriber = Subscriber { principal, operation, outbox: Arc::clone(&outbox), payer };
        let guard = services
            .registry
            .subscribe(&generation, plan, source, subscriber, || services.bus.position())
            .expect("room");
        (guard, outbox)
    }

    fn publish(&self, n: u64) {
        let event = Published { event: user_event(n), identified: false };
        self.runtime.services().bus.publish(vec![event], Instant::now(), |sequenced| {
            self.runtime.delivery().deliver(&sequenced, &mut Reached::default());
        });
    }
}

fn empty(subscriptions: &Subscribed) {
    for (_, outbox) in subscriptions {
        outbox.take(usize::MAX, &mut Vec::new());
    }
}
