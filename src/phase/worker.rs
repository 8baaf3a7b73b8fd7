//! The workers: threads that run the log phase, each with a VM of its own.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::heartbeat::Heartbeat;
use super::intake::{Batch, Outcome, Refusal};
use super::plan::Plan;
use super::program::Program;
use super::run::{Observer, Part, Runner};
use super::tap::{Tapped, Taps};
use crate::confinement::{Enforcement, ThreadFilter};
use crate::folding::Folded;
use logphase_queue::{DropReason, NoRoom, Queue, Receipt};
use logphase_script::message::BodyError;
use logphase_script::{Clock, ScriptError};

/// A program and the queues that its messages go to; swapped whole on reload.
pub struct Generation {
    /// What runs.
    pub program: Arc<Program>,
    /// For each step that emits, its queue.
    pub queues: Vec<Option<Arc<dyn Queue>>>,
}

/// The generation in force.
pub type Live = Arc<ArcSwap<Generation>>;

/// Batches that may wait for each worker.
const WAITING: usize = 4;

/// The Lua VM, serializing and the scanner recurse no deeper than this holds.
const STACK: usize = 8 << 20;

/// What makes one panic may come again and again.
static PANICS: Folded = Folded::new();

/// What the workers did so far.
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// Transactions that ran.
    pub transactions: AtomicU64,
    /// Messages that were not emitted because of `on_error: drop`.
    pub dropped: AtomicU64,
    /// Messages that were not emitted because a body was not what its content type said.
    pub refused: AtomicU64,
    /// Each worker.
    pub heartbeats: Vec<Heartbeat>,
}

impl WorkerStats {
    fn of(workers: usize) -> Self {
        Self { heartbeats: (0..workers).map(|_| Heartbeat::default()).collect(), ..Self::default() }
    }
}

/// The running workers.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    worker_stats: Arc<WorkerStats>,
    taps: Arc<Taps>,
    wall: Enforcement,
}

impl Workers {
    /// Starts `count` workers on what is in `live`, each behind `filter`; returns them with their channels.
    ///
    /// # Errors
    /// The snippets do not fit a VM, or a thread could not be started.
    pub fn start(
        live: &Live,
        count: usize,
        clock: &Arc<Clock>,
        filter: &ThreadFilter,
    ) -> Result<(Self, Vec<mpsc::Sender<Batch>>), String> {
        // What scripts ask of the machine is asked now: the workers may not.
        logphase_script::prepare();
        let count = count.max(1);
        let worker_stats = Arc::new(WorkerStats::of(count));
        let taps = Arc::new(Taps::default());
        let mut threads = Vec::new();
        let mut channels = Vec::new();
        let (report, started) = std::sync::mpsc::channel();
        for number in 0..count {
            let (sender, receiver) = mpsc::channel(WAITING);
            let (live, clock, worker_stats, report) =
                (live.clone(), clock.clone(), worker_stats.clone(), report.clone());
            let (filter, taps) = (filter.clone(), taps.clone());
            let body = move || {
                let generation = live.load_full();
                match Runner::new(generation.program.clone()) {
                    Ok(runner) => {
                        let runner = runner.measured(number);
                        worker_stats.heartbeats[number].rest(runner.used_memory());
                        let _ = report.send(Ok(filter.apply()));
                        Worker { number, runner, generation, live, clock, worker_stats, taps, room: Room::default() }
                            .work(receiver);
                    }
                    Err(error) => {
                        let _ = report.send(Err(error));
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("worker-{number}")).stack_size(STACK).spawn(body);
            threads.push(thread.map_err(|error| format!("cannot start a worker thread: {error}"))?);
            channels.push(sender);
        }
        drop(report);
        let mut wall = Enforcement::Off;
        // Each worker reports once; one that panics before hangs up instead.
        for _ in &threads {
            wall = started.recv().map_err(|_| "a worker thread ended at its start".to_owned())??;
        }
        Ok((Self { threads, worker_stats, taps, wall }, channels))
    }

    /// Whether they are kept from system calls that computing does not need.
    pub fn wall(&self) -> &Enforcement {
        &self.wall
    }

    /// What they did so far.
    pub fn worker_stats(&self) -> &Arc<WorkerStats> {
        &self.worker_stats
    }

    /// Who watches what they make.
    pub fn taps(&self) -> &Arc<Taps> {
        &self.taps
    }

    /// Waits until they have ended, which they do when every channel to them is closed.
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

struct Worker {
    number: usize,
    runner: Runner,
    generation: Arc<Generation>,
    live: Live,
    clock: Arc<Clock>,
    worker_stats: Arc<WorkerStats>,
    taps: Arc<Taps>,
    room: Room,
}

impl Worker {
    fn work(mut self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.blocking_recv() {
            self.follow();
            let _busy = self.clock.busy();
            let gate = batch.gate.clone();
            // A panic is a breaker of ours; it must not take the service with it.
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| self.process(batch)));
            if done.is_err() {
                if let Some(folded) = PANICS.pass() {
                    tracing::error!(folded, "a worker panicked; its batch was not taken. Please report this");
                }
                gate.inspect(|gate| gate.shut());
                self.room.release(&self.generation);
                self.runner.renew();
            }
            self.worker_stats.heartbeats[self.number].rest(self.runner.used_memory());
        }
        self.worker_stats.heartbeats[self.number].end();
    }

    /// Takes up a new generation, between two batches. Whether there was one.
    fn follow(&mut self) -> bool {
        let current = self.live.load();
        if Arc::ptr_eq(&current, &self.generation) {
            return false;
        }
        let next = current.clone();
        drop(current);
        match Runner::new(next.program.clone()) {
            Ok(runner) => {
                self.runner = runner.measured(self.number);
                self.generation = next;
                true
            }
            Err(error) => {
                tracing::error!(%error, "the new configuration does not fit; this worker keeps the old one");
                false
            }
        }
    }

    fn process(&mut self, batch: Batch) {
        let Batch { mut transactions, whole, gate, reply } = batch;
        if gate.as_ref().is_some_and(|gate| gate.is_shut()) {
            let _ = reply.send(Outcome { accepted: 0, refusal: None, rest: transactions });
            return;
        }
        let sizes: Vec<usize> = transactions.iter().map(|transaction| transaction.bytes().len()).collect();
        let (plans, taken, refusal) = loop {
            let plans: Vec<Plan> = transactions.iter().map(|transaction| self.runner.plan(transaction)).collect();
            let (taken, refusal) = self.reserve(&plans, &sizes, whole);
            // A queue that a reload has just closed has no room for ever; the one in its place has.
            if taken > 0 || !self.follow() {
                break (plans, taken, refusal);
            }
        };
        let rest = transactions.split_off(taken);
        if let Some(gate) = gate.filter(|_| !rest.is_empty()) {
            gate.shut();
        }
        if taken == 0 {
            let _ = reply.send(Outcome { accepted: 0, refusal, rest });
            return;
        }
        let mut collect = Collect {
            program: self.runner.program().clone(),
            worker_stats: &self.worker_stats,
            size: 0,
            room: &mut self.room,
            generation: &self.generation,
        };
        let watchers = self.taps.watchers();
        for ((transaction, plan), size) in transactions.into_iter().zip(&plans).zip(&sizes) {
            collect.size = *size;
            self.worker_stats.heartbeats[self.number].begin();
            match &watchers {
                None => self.runner.run(transaction, plan, &mut collect),
                Some(watchers) => {
                    let program = self.runner.program().clone();
                    let mut tapped = Tapped::new(watchers, program, transaction.clone(), &mut collect);
                    self.runner.run(transaction, plan, &mut tapped);
                }
            }
        }
        self.worker_stats.transactions.fetch_add(taken as u64, Ordering::Relaxed);
        // A panic drops the receipt, too; without an answer the batch counts as refused.
        let appended = Arc::new(AtomicBool::new(false));
        let all = appended.clone();
        let receipt = Receipt::new(move || {
            if all.load(Ordering::Acquire) {
                let _ = reply.send(Outcome { accepted: taken, refusal, rest });
            }
        });
        self.room.append(&self.generation, &receipt);
        appended.store(true, Ordering::Release);
    }

    /// Reserves room for as many of the transactions as there is, from the front; for all or none if `whole`.
    fn reserve(&mut self, plans: &[Plan], sizes: &[usize], whole: bool) -> (usize, Option<Refusal>) {
        let refusal = match self.room.reserve(&self.generation, plans, sizes) {
            Ok(()) => return (plans.len(), None),
            Err(refusal) => refusal,
        };
        if whole {
            return (0, Some(refusal));
        }
        for taken in 0..plans.len() {
            if let Err(refusal) = self.room.reserve(&self.generation, &plans[taken..=taken], &sizes[taken..=taken]) {
                return (taken, Some(refusal));
            }
        }
        (plans.len(), None)
    }
}

/// What a batch has reserved and made so far, per step. Costs what the batch's own plans cost, however many other
/// plugins there are.
#[derive(Default)]
struct Room {
    steps: Vec<Share>,
    /// The steps with a reservation, in the order in which they were first asked.
    reserved: VecDeque<usize>,
}

#[derive(Default)]
struct Share {
    entries: Vec<Bytes>,
    /// Entries and bytes, reserved and not yet appended.
    reserved: (usize, usize),
    /// Entries and bytes that are being asked for.
    wanted: (usize, usize),
}

impl Room {
    /// Reserves room for all of the given transactions on every queue that they go to, or for none.
    fn reserve(&mut self, generation: &Generation, plans: &[Plan], sizes: &[usize]) -> Result<(), Refusal> {
        self.steps.resize_with(generation.program.steps.len(), Share::default);
        let mut asked = Vec::new();
        for (plan, size) in plans.iter().zip(sizes) {
            for &step in plan.iter() {
                let Some(queue) = &generation.queues[step] else { continue };
                let wanted = &mut self.steps[step].wanted;
                if wanted.0 == 0 {
                    asked.push((step, queue));
                }
                wanted.0 += 1;
                wanted.1 += size;
            }
        }
        let refused = asked.iter().enumerate().find_map(|(at, (step, queue))| {
            let (entries, bytes) = self.steps[*step].wanted;
            queue.reserve(entries, bytes).err().map(|no_room| (at, *step, no_room))
        });
        for (at, (step, queue)) in asked.into_iter().enumerate() {
            let share = &mut self.steps[step];
            let (entries, bytes) = std::mem::take(&mut share.wanted);
            match refused {
                Some((first, ..)) if at < first => queue.release(entries, bytes),
                Some(_) => {}
                None => {
                    if share.reserved.0 == 0 {
                        self.reserved.push_back(step);
                    }
                    share.reserved.0 += entries;
                    share.reserved.1 += bytes;
                }
            }
        }
        let Some((_, step, no_room)) = refused else { return Ok(()) };
        let plugin = generation.program.steps[step].label.to_string();
        Err(match no_room {
            NoRoom::Full => Refusal::Full { plugin },
            NoRoom::Failing => Refusal::Failing { plugin },
            NoRoom::Never => Refusal::TooMany { plugin, transactions: plans.len() },
        })
    }

    /// Appends what was made to the queues.
    fn append(&mut self, generation: &Generation, receipt: &Receipt) {
        // One by one, so that after a panic the rest is still known to be given back.
        while let Some(step) = self.reserved.pop_front() {
            let Share { entries, reserved: (_, bytes), .. } = std::mem::take(&mut self.steps[step]);
            let Some(queue) = &generation.queues[step] else { continue };
            if !entries.is_empty() {
                queue.append(entries, bytes, receipt);
            } else if bytes > 0 {
                queue.release(0, bytes);
            }
        }
    }

    /// Gives everything back.
    fn release(&mut self, generation: &Generation) {
        while let Some(step) = self.reserved.pop_front() {
            let Share { reserved: (entries, bytes), .. } = std::mem::take(&mut self.steps[step]);
            if let Some(queue) = generation.queues[step].as_ref().filter(|_| entries > 0) {
                queue.release(entries, bytes);
            }
        }
    }
}

/// Collects a batch's messages and tells of its breakers.
struct Collect<'a> {
    program: Arc<Program>,
    worker_stats: &'a WorkerStats,
    size: usize,
    room: &'a mut Room,
    generation: &'a Generation,
}

impl Observer for Collect<'_> {
    fn message(&mut self, step: usize, message: Bytes) {
        if self.generation.queues[step].is_some() {
            self.room.steps[step].entries.push(message);
        }
    }

    fn failed(&mut self, part: Part, error: &ScriptError) {
        let step = &self.program.steps[part.step];
        let compiled = &step.parts[part.part];
        let Some(times) = step.breakers.parts()[part.part].add() else { return };
        let place = compiled.source.line_origin(error.line.unwrap_or(1));
        let field = compiled.name(part.part);
        tracing::warn!(plugin = %step.label, field, %place, times, "a Lua snippet failed: {error}");
    }

    fn refused(&mut self, step: usize, error: &BodyError) {
        self.give_back(step, DropReason::Body);
        let times = self.worker_stats.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if times.is_power_of_two() {
            let plugin = &self.program.steps[step].label;
            tracing::error!(%plugin, times, "a message is not sent: {error}; set on_body_error to keep to send it");
        }
    }

    fn dropped(&mut self, step: usize) {
        self.worker_stats.dropped.fetch_add(1, Ordering::Relaxed);
        self.give_back(step, DropReason::Script);
    }
}

impl Collect<'_> {
    /// Gives back the room of a message that is not sent.
    fn give_back(&mut self, step: usize, reason: DropReason) {
        if let Some(queue) = &self.generation.queues[step] {
            queue.forgo(1, self.size, reason);
            let reserved = &mut self.room.steps[step].reserved;
            reserved.0 -= 1;
            reserved.1 -= self.size;
        }
    }
}
