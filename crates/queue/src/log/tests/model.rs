//! Any sequence of actions on a log, beside a model of what it must keep.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Push(usize),
    Write,
    Sync,
    /// The three steps of a sync; other actions may happen between them.
    BeginSync,
    RunSync,
    EndSync,
    Deliver(u64),
    /// Everything is delivered, and so many records that were never pushed.
    Skip(u64),
    Tidy,
    /// The process restarts.
    Reopen,
    /// Power is lost.
    Crash(u64),
    Fail(u64, u64),
    /// The directory is removed.
    Remove,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => prop_oneof![0usize..40, 300usize..1500].prop_map(Action::Push),
        3 => Just(Action::Write),
        4 => Just(Action::Sync),
        4 => Just(Action::BeginSync),
        3 => Just(Action::RunSync),
        4 => Just(Action::EndSync),
        3 => (0u64..6).prop_map(Action::Deliver),
        1 => (0u64..4).prop_map(Action::Skip),
        3 => Just(Action::Tidy),
        1 => Just(Action::Reopen),
        2 => any::<u64>().prop_map(Action::Crash),
        1 => Just(Action::Remove),
        2 => (0u64..6, any::<u64>()).prop_map(|(after, seed)| Action::Fail(after, seed)),
    ]
}

/// When the model considers a record acknowledged.
#[derive(Clone, Copy, PartialEq)]
enum Acknowledge {
    /// Like the queue.
    AfterSync,
    /// Too early: a crash then loses acknowledged records, which the model must detect.
    AfterWrite,
}

/// A log, and a model of what it must contain.
struct Model {
    disk: SimDisk,
    log: Log,
    acknowledge: Acknowledge,
    /// A started sync and its result.
    pending_sync: Option<(PendingSync, Option<io::Result<()>>)>,
    /// Every pushed payload by sequence number. After a crash a lost record's number is used again.
    pushed: BTreeMap<u64, Vec<Bytes>>,
    serial: u64,
    acknowledged: BTreeMap<u64, Bytes>,
    /// The first record that this process may acknowledge.
    begun: u64,
    delivered: u64,
    /// The position that the last successful tidying saved.
    saved: u64,
}

impl Model {
    fn new(acknowledge: Acknowledge) -> Self {
        let disk = SimDisk::default();
        let (log, recovered) = open(&disk, 2048);
        assert_eq!(recovered, Recovered::default());
        let (pushed, acknowledged) = (BTreeMap::new(), BTreeMap::new());
        let pending_sync = None;
        Self { disk, log, acknowledge, pending_sync, pushed, serial: 0, acknowledged, begun: 0, delivered: 0, saved: 0 }
    }

    fn act(&mut self, action: Action) -> Result<(), TestCaseError> {
        match action {
            Action::Push(size) => {
                self.serial += 1;
                let mut payload = self.serial.to_le_bytes().to_vec();
                payload.resize(8 + size, b'x');
                let payload = Bytes::from(payload);
                let seq = self.log.push(payload.clone());
                prop_assert!(!self.acknowledged.contains_key(&seq), "no sequence number is given twice");
                self.pushed.entry(seq).or_default().push(payload);
            }
            Action::Write => {
                if self.log.write().is_ok() && self.acknowledge == Acknowledge::AfterWrite {
                    self.acknowledge(self.log.written());
                }
            }
            Action::BeginSync => {
                if let Some(pending_sync) = self.log.begin_sync() {
                    self.pending_sync = Some((pending_sync, None));
                }
            }
            Action::RunSync => self.run_sync(),
            Action::EndSync => self.end_sync(),
            Action::Sync => {
                self.end_sync();
                if let Ok(durable) = self.log.sync() {
                    self.acknowledge(durable);
                }
            }
            Action::Deliver(more) => {
                self.delivered = (self.delivered + more).min(self.log.durable()).max(self.delivered);
                self.log.set_delivered(self.delivered);
            }
            Action::Skip(more) => {
                let seq = self.log.next() + more;
                self.log.skip_to(seq);
                (self.delivered, self.begun) = (seq, seq);
                self.acknowledged.clear();
            }
            Action::Tidy => {
                let has_to = self.log.needs_checkpoint();
                if self.log.checkpoint().is_ok() && has_to {
                    self.saved = self.delivered;
                }
            }
            Action::Fail(after, seed) => self.disk.fail_after(after, seed),
            Action::Remove => {
                self.disk.remove_all();
                // The records on disk are gone; records acknowledged from now on must survive.
                self.acknowledged.clear();
                let synced = match &self.pending_sync {
                    Some((pending_sync, Some(Ok(())))) => pending_sync.end,
                    _ => 0,
                };
                (self.begun, self.saved) = (self.log.durable().max(synced), 0);
            }
            Action::Reopen => self.reopen()?,
            Action::Crash(seed) => {
                self.disk.crash(seed);
                self.reopen()?;
            }
        }
        Ok(())
    }

    fn run_sync(&mut self) {
        if let Some((pending_sync, result)) = &mut self.pending_sync {
            result.get_or_insert_with(|| pending_sync.run());
        }
    }

    fn end_sync(&mut self) {
        self.run_sync();
        let Some((pending_sync, Some(result))) = self.pending_sync.take() else { return };
        if self.log.end_sync(&pending_sync, result).is_ok() {
            self.acknowledge(self.log.durable());
        }
    }

    /// Everything that this process has pushed below `end` is acknowledged.
    fn acknowledge(&mut self, end: u64) {
        for seq in self.begun..end {
            let payload = self.pushed[&seq].last().unwrap().clone();
            self.acknowledged.insert(seq, payload);
        }
    }

    /// Opens the log in a new process: exactly the records that must have survived are present.
    fn reopen(&mut self) -> Result<(), TestCaseError> {
        self.pending_sync = None;
        let (log, recovered) = open(&self.disk, 2048);
        prop_assert!(recovered.from >= self.saved, "what is delivered and saved does not come again");
        prop_assert_eq!(recovered.from + recovered.records, log.next());
        let records = read_all(&self.disk, &log, recovered.from, log.next());
        let mut last = None;
        for Record { seq, payload } in &records {
            prop_assert!(last < Some(*seq), "in order");
            last = Some(*seq);
            let pushed = self.pushed.get(seq).is_some_and(|pushed| pushed.contains(payload));
            prop_assert!(pushed, "what comes out went in");
        }
        let found: BTreeMap<u64, Bytes> = records.into_iter().map(|record| (record.seq, record.payload)).collect();
        for (seq, payload) in self.acknowledged.range(self.delivered..) {
            prop_assert!(found.get(seq) == Some(payload), "record {} was acknowledged and is lost", seq);
        }
        self.delivered = recovered.from;
        self.begun = log.next();
        self.log = log;
        self.log.set_delivered(self.delivered);
        Ok(())
    }
}

/// Runs the model test. The variable PROPTEST_CASES sets the number of cases.
fn run(acknowledge: Acknowledge) -> Result<(), String> {
    let cases = Config::default().cases.max(2000);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let actions = prop::collection::vec(action(), 1..50);
    let outcome = TestRunner::new(config).run(&actions, |actions| {
        let mut model = Model::new(acknowledge);
        for action in actions {
            model.act(action)?;
        }
        // Every case ends with a power cut that loses all unsynced data.
        model.act(Action::Crash(7))
    });
    outcome.map_err(|error| error.to_string())
}

/// Scenario: any sequence of appends, syncs, deliveries, skips, removals, restarts, failing writes and syncs, and power cuts
/// that keep any part of the unsynced data, on tiny segments.
/// Guarantees: each acknowledged and undelivered record is present after every restart; each record read was appended,
/// once and in order; records whose delivery was saved are not read again.
#[test]
fn nothing_acknowledged_is_lost() {
    run(Acknowledge::AfterSync).unwrap();
}

/// Scenario: the same, with a model that acknowledges records when they are written.
/// Guarantees: the test above would detect a log that acknowledges before the sync.
#[test]
fn the_model_detects_an_early_acknowledgement() {
    let failure = run(Acknowledge::AfterWrite).expect_err("the model saw nothing");
    assert!(failure.contains("was acknowledged and is lost"), "{failure}");
}
