use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::sim::SimDisk;
use super::*;

const DIR: &str = "/queue";

fn open(disk: &SimDisk, segment_bytes: u64) -> (Log, Recovered) {
    Log::open(Arc::new(disk.clone()), Path::new(DIR), segment_bytes).unwrap()
}

/// Everything from `from` on and below `end`, as a reader gets it that takes few at a time.
fn read_all(disk: &SimDisk, log: &Log, from: u64, end: u64) -> Vec<Record> {
    let mut reader = SegmentReader::new(Arc::new(disk.clone()), DIR.into());
    let (mut records, mut next) = (Vec::new(), from);
    while next < end {
        let chunk = reader.read(&log.extents(), (next, end), 3, 700).unwrap();
        assert!(chunk.next > next, "a reader moves on");
        next = chunk.next;
        records.extend(chunk.records);
    }
    records
}

#[derive(Debug, Clone)]
enum Action {
    Push(usize),
    Write,
    Sync,
    Deliver(u64),
    Tidy,
    /// The process ends and another one begins.
    Reopen,
    /// Power is lost.
    Crash(u64),
    Fail(u64, u64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => prop_oneof![0usize..40, 300usize..1500].prop_map(Action::Push),
        3 => Just(Action::Write),
        4 => Just(Action::Sync),
        3 => (0u64..6).prop_map(Action::Deliver),
        3 => Just(Action::Tidy),
        1 => Just(Action::Reopen),
        2 => any::<u64>().prop_map(Action::Crash),
        2 => (0u64..6, any::<u64>()).prop_map(|(after, seed)| Action::Fail(after, seed)),
    ]
}

/// When the model takes a record for acknowledged.
#[derive(Clone, Copy, PartialEq)]
enum Acknowledge {
    /// As the queue does.
    AfterSync,
    /// As it must not: what a crash then loses shows that the model sees it.
    AfterWrite,
}

/// What must hold of a log, beside the log.
struct Model {
    disk: SimDisk,
    log: Log,
    acknowledge: Acknowledge,
    /// Everything that was ever pushed. What a crash has lost leaves its sequence number to another one.
    pushed: BTreeMap<u64, Vec<Bytes>>,
    serial: u64,
    acknowledged: BTreeMap<u64, Bytes>,
    /// The first that this process may acknowledge.
    begun: u64,
    delivered: u64,
    /// What the last tidying that went well has saved.
    saved: u64,
}

impl Model {
    fn new(acknowledge: Acknowledge) -> Self {
        let disk = SimDisk::default();
        let (log, recovered) = open(&disk, 2048);
        assert_eq!(recovered, Recovered::default());
        let (pushed, acknowledged) = (BTreeMap::new(), BTreeMap::new());
        Self { disk, log, acknowledge, pushed, serial: 0, acknowledged, begun: 0, delivered: 0, saved: 0 }
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
            Action::Sync => {
                if let Ok(durable) = self.log.sync() {
                    self.acknowledge(durable);
                }
            }
            Action::Deliver(more) => {
                self.delivered = (self.delivered + more).min(self.log.durable()).max(self.delivered);
                self.log.deliver_to(self.delivered);
            }
            Action::Tidy => {
                if self.log.tidy().is_ok() {
                    self.saved = self.delivered;
                }
            }
            Action::Fail(after, seed) => self.disk.fail_after(after, seed),
            Action::Reopen => self.reopen()?,
            Action::Crash(seed) => {
                self.disk.crash(seed);
                self.reopen()?;
            }
        }
        Ok(())
    }

    /// What this process has pushed below `end` counts as safe.
    fn acknowledge(&mut self, end: u64) {
        for seq in self.begun..end {
            let payload = self.pushed[&seq].last().unwrap().clone();
            self.acknowledged.insert(seq, payload);
        }
    }

    /// A new process: what must have outlived the old one is there, and nothing else.
    fn reopen(&mut self) -> Result<(), TestCaseError> {
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
        self.log.deliver_to(self.delivered);
        Ok(())
    }
}

fn run(acknowledge: Acknowledge, cases: u32) -> Result<(), String> {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let actions = prop::collection::vec(action(), 1..50);
    let outcome = TestRunner::new(config).run(&actions, |actions| {
        let mut model = Model::new(acknowledge);
        for action in actions {
            model.act(action)?;
        }
        // Whatever happened before, a power cut comes at last, with all of it lost that can be.
        model.act(Action::Crash(7))
    });
    outcome.map_err(|error| error.to_string())
}

/// Scenario: any sequence of appends, syncs, deliveries, removals, restarts, failing writes and syncs, and power cuts
/// that keep any part of what was not synced, on tiny segments.
/// Guarantees: what was acknowledged and not delivered is there after each restart; what comes out went in, once and in
/// order; what was delivered and saved does not come again.
#[test]
fn nothing_acknowledged_is_lost() {
    run(Acknowledge::AfterSync, 3000).unwrap();
}

/// Scenario: the same, but the model takes records for acknowledged when they are written.
/// Guarantees: the test above would see a log that answers before the sync.
#[test]
fn the_model_sees_an_early_acknowledgement() {
    let failure = run(Acknowledge::AfterWrite, 3000).expect_err("the model saw nothing");
    assert!(failure.contains("was acknowledged and is lost"), "{failure}");
}
