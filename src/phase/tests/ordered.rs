//! Several batches of one sender on their way at once.

use std::time::Duration;

use proptest::prelude::*;

use super::workers::{Bench, Fake, bench, generation};
use super::*;

const ONE: &str = r#"
_format_version: "3.0"
plugins:
- {name: file-log, config: {path: /tmp/x}}
"#;

/// What happens while senders send.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// What the queue holds is taken out, which makes room.
    Drain,
    /// The receipts that the queue keeps are let go: what it holds is safe.
    Sync,
    /// A queue in place of the one there is, which takes nothing more.
    Reload,
    /// Nothing for a moment.
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

/// A queue, and what was taken out of it and of those before it.
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

    /// Everything in the order of the queues.
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
                let closed = self.old.last().expect("there is one before");
                closed.with(|inner| inner.closed = true);
            }
        }
        bench.room.notify_waiters();
    }
}

/// Sends batches of `sizes` through an ordered intake. Returns how many transactions were accepted, and how many were lost.
async fn send(intake: Intake, sender: usize, sizes: Vec<usize>) -> (usize, usize) {
    let mut ordered = OrderedIntake::new(intake);
    let (mut taken, mut number, mut refused) = (0, 0, None);
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
        // As in a feed, which reads meanwhile, the wait is broken off now and then.
        match tokio::time::timeout(Duration::from_micros(200), ordered.advance()).await {
            Ok(Ok(more)) => taken += more,
            Ok(Err(error)) => refused = Some(error),
            Err(_) => {}
        }
    }
    let lost = ordered.abandon() + next.into_iter().chain(batches).map(|batch| batch.len()).sum::<usize>();
    assert_eq!(lost > 0, refused.is_some());
    (taken, lost)
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
            // Whatever the events are, there is an end.
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
        let (taken, lost) = task.await.expect("no panic");
        assert_eq!(taken + lost, total);
        assert!(lost == 0 || end.is_some());
        let arrived: Vec<_> =
            queues.out.iter().filter(|entry| entry.starts_with(&format!("{{\"s\":{sender},"))).collect();
        let expected: Vec<_> = (0..taken).map(|number| json!({"s": sender, "n": number}).to_string()).collect();
        assert_eq!(arrived, expected.iter().collect::<Vec<_>>());
    }
    assert_eq!(queues.current.reserved(), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Scenario: one to three senders with batches of any size, queues that are often full, that answer late, that are
    /// closed and replaced by reloads, and a service that goes down at any time, or not.
    /// Guarantees: what each sender is told is taken is in the queues once and in its order, without a gap; the rest
    /// is what it is told is lost, and without an end of the service nothing is.
    #[test]
    fn order_and_number_hold(
        senders in proptest::collection::vec(proptest::collection::vec(1usize..40, 1..40), 1..4),
        (room, holds) in (1usize..100, any::<bool>()),
        events in proptest::collection::vec(event(), 1..20),
        end in proptest::option::of(0usize..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(senders, Queues::new(room, holds), events, end));
    }
}
