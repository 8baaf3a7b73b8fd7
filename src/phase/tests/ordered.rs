//! Tests of senders with several batches in flight.

use std::time::Duration;

use proptest::prelude::*;

use super::workers::{Bench, Fake, bench, generation};
use super::*;

const ONE: &str = r#"
_format_version: "3.0"
plugins:
- {name: file-log, config: {path: /tmp/x}}
"#;

/// An event while senders send.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The entries are taken out of the queue, which makes room.
    Drain,
    /// The queue drops its receipts: its entries are safe.
    Sync,
    /// A new queue replaces the current one, which is closed.
    Reload,
    /// Nothing happens.
    Wait,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Drain),
        4 => Just(Event::Sync),
        1 => Just(Event::Reload),
        4 => Just(Event::Wait),
    ]
}

/// A queue, its predecessors, and the entries that were taken out of them.
struct Queues {
    current: Arc<Fake>,
    room: usize,
    holds: bool,
    old: Vec<Arc<Fake>>,
    out: Vec<String>,
}

impl Queues {
    fn new(room: usize, holds: bool) -> Self {
        let mut queues = Self { current: Fake::new(room), room, holds, old: Vec::new(), out: Vec::new() };
        queues.renew();
        queues.old.clear();
        queues
    }

    fn renew(&mut self) {
        let new = Fake::new(self.room);
        new.with(|inner| inner.holds = self.holds);
        let old = std::mem::replace(&mut self.current, new);
        self.old.push(old);
    }

    /// Takes out all entries, in the order of the queues.
    fn drain(&mut self) {
        for queue in self.old.iter().chain([&self.current]) {
            self.out.extend(queue.take());
        }
    }

    fn sync(&self) {
        for queue in self.old.iter().chain([&self.current]) {
            queue.with(|inner| std::mem::take(&mut inner.receipts));
        }
    }

    fn happen(&mut self, event: Event, bench: &Bench) {
        match event {
            Event::Drain => self.drain(),
            Event::Sync => self.sync(),
            Event::Wait => {}
            Event::Reload => {
                self.renew();
                bench.live.store(Arc::new(generation(ONE, &patient(), &[&self.current])));
                let closed = self.old.last().expect("a predecessor");
                closed.with(|inner| inner.closed = true);
            }
        }
        bench.room.notify_waiters();
    }
}

/// Sends batches of `sizes` through an ordered intake. Returns how many transactions were accepted, and how many were lost.
async fn send(intake: Intake, sender: usize, sizes: Vec<usize>) -> (usize, usize) {
    let mut ordered = OrderedIntake::new(intake);
    let (mut accepted, mut number, mut refused) = (0, 0, None);
    let mut batches = sizes.into_iter().map(|size| {
        let batch = (number..number + size).map(|at| transaction(&json!({"s": sender, "n": at}))).collect();
        number += size;
        batch
    });
    let mut next: Option<Vec<Transaction>> = batches.next();
    while refused.is_none() && (next.is_some() || !ordered.is_empty()) {
        if ordered.has_room()
            && let Some(batch) = next.take()
        {
            ordered.push(batch);
            next = batches.next();
            continue;
        }
        // As in an input that reads at the same time, the wait is sometimes cancelled.
        match tokio::time::timeout(Duration::from_micros(200), ordered.advance()).await {
            Ok(Ok(more)) => accepted += more,
            Ok(Err(error)) => refused = Some(error),
            Err(_) => {}
        }
    }
    let lost = ordered.abandon() + next.into_iter().chain(batches).map(|batch| batch.len()).sum::<usize>();
    assert_eq!(lost > 0, refused.is_some());
    (accepted, lost)
}

async fn run(senders: Vec<Vec<usize>>, mut queues: Queues, events: Vec<Event>, end: Option<usize>) {
    let bench = bench(generation(ONE, &patient(), &[&queues.current]), 2);
    let totals: Vec<usize> = senders.iter().map(|sizes| sizes.iter().sum()).collect();
    let tasks: Vec<_> =
        (0..).zip(senders).map(|(sender, sizes)| tokio::spawn(send(bench.intake.clone(), sender, sizes))).collect();
    let happening = async {
        for (at, event) in events.iter().cycle().enumerate() {
            if tasks.iter().all(tokio::task::JoinHandle::is_finished) {
                break;
            }
            if end == Some(at) {
                bench.intake.close();
            }
            queues.happen(*event, &bench);
            // Ends the test after any events.
            if at > 200 {
                queues.happen(Event::Drain, &bench);
                queues.happen(Event::Sync, &bench);
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), happening).await.expect("the senders end");
    queues.drain();
    for (sender, (task, total)) in tasks.into_iter().zip(totals).enumerate() {
        let (accepted, lost) = task.await.expect("no panic");
        assert_eq!(accepted + lost, total);
        assert!(lost == 0 || end.is_some());
        let arrived: Vec<_> =
            queues.out.iter().filter(|entry| entry.starts_with(&format!("{{\"s\":{sender},"))).collect();
        let expected: Vec<_> = (0..accepted).map(|number| json!({"s": sender, "n": number}).to_string()).collect();
        assert_eq!(arrived, expected.iter().collect::<Vec<_>>());
    }
    assert_eq!(queues.current.reserved(), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Scenario: one to three senders with batches of any size; queues that are often full, sync late, and are replaced by
    /// reloads; a service that may shut down at any time.
    /// Guarantees: the accepted transactions of each sender are in the queues once and in order, without a gap; all others
    /// are reported as lost, and none is lost without a shutdown.
    #[test]
    fn order_and_counts_are_correct(
        senders in proptest::collection::vec(proptest::collection::vec(1usize..40, 1..40), 1..4),
        (room, holds) in (1usize..100, any::<bool>()),
        events in proptest::collection::vec(event(), 1..20),
        end in proptest::option::of(0usize..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(senders, Queues::new(room, holds), events, end));
    }
}
