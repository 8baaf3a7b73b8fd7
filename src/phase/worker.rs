//! The workers: threads that run the log phase, each with its own Lua VM.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::full::FullQueue;
use super::heartbeat::Heartbeat;
use super::intake::{Batch, BatchResult};
use super::program::Program;
use super::reservation::{Needs, Refusal, Reservations};
use super::run::{Observer, Part, Runner};
use super::tap::{TappedObserver, Taps, offer_line};
use super::turns::{BatchReceiver, BatchSender, SLICE, Share, batch_channel};
use super::unlogged::UnloggedCounts;
use crate::confinement::{Enforcement, ThreadFilter};
use crate::log::limit::{Limiter, Policy};
use crate::mesh::Evaluator;
use logphase_protocol::envoy::Record;
use logphase_queue::{DropReason, Queue, Receipt};
use logphase_script::message::BodyError;
use logphase_script::transaction::Transaction;
use logphase_script::{Busy, Clock, ScriptError};

/// A program with its queues. A reload replaces both together.
pub struct Generation {
    /// The program.
    pub program: Arc<Program>,
    /// The queue of each step that emits; behind them, the queue of each output of the program's meshes.
    pub queues: Vec<Option<Arc<dyn Queue>>>,
    /// Whether the transactions of each step are refused if its queue refuses them; otherwise their messages for it are
    /// dropped. Behind them, the same for each output of the program's meshes.
    pub required: Vec<bool>,
}

impl Generation {
    /// The name of an output in errors.
    pub(super) fn output_label(&self, output: usize) -> String {
        let Some(of_mesh) = output.checked_sub(self.program.steps.len()) else {
            return self.program.steps[output].label.to_string();
        };
        let outputs = self.program.mesh.as_ref().map_or(&[][..], |engine| engine.outputs());
        outputs.get(of_mesh).map_or_else(String::new, |output| {
            format!("{} ({})", output.destination.output_name(), output.destination.instance())
        })
    }

    /// Makes the lines of access logs of its meshes, if it has some.
    fn evaluator(&self) -> Option<Evaluator> {
        self.program.mesh.clone().map(Evaluator::new)
    }
}

/// The active generation.
pub type Live = Arc<ArcSwap<Generation>>;

/// Bytes of a worker's stack: enough for the maximum recursion of the Lua VM, the serializer and the scanner.
const STACK_BYTES: usize = 8 << 20;

/// Limits the log lines about panics, which may repeat.
static PANICS: Limiter = Limiter::new(Policy::MANY);

/// The counters and heartbeats of the workers.
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// Processed transactions.
    pub transactions: AtomicU64,
    /// Messages that were dropped because of `on_error: drop`.
    pub dropped: AtomicU64,
    /// Messages that were dropped because a body did not match its content type.
    pub refused: AtomicU64,
    /// Transactions that no plugin logs.
    pub unlogged: UnloggedCounts,
    /// The heartbeat of each worker.
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
    enforcement: Enforcement,
}

impl Workers {
    /// Starts `count` workers for the generation in `live`, each with the system call filter `filter`. Returns them with their
    /// channels.
    ///
    /// # Errors
    /// The environment of the snippets does not fit into a VM, or a thread cannot be started.
    pub fn start(
        live: &Live,
        count: usize,
        clock: &Arc<Clock>,
        filter: &ThreadFilter,
    ) -> Result<(Self, Vec<BatchSender>), String> {
        // Reads what scripts need from the system: the filter does not allow workers to read it.
        logphase_script::prepare();
        let count = count.max(1);
        let worker_stats = Arc::new(WorkerStats::of(count));
        let taps = Arc::new(Taps::default());
        let mut threads = Vec::new();
        let mut channels = Vec::new();
        let (report, started) = std::sync::mpsc::channel();
        for number in 0..count {
            let (sender, receiver) = batch_channel();
            let (live, clock, worker_stats, report) =
                (live.clone(), clock.clone(), worker_stats.clone(), report.clone());
            let (filter, taps) = (filter.clone(), taps.clone());
            let body = move || {
                let generation = live.load_full();
                match Runner::new(generation.program.clone()) {
                    Ok(runner) => {
                        let runner = runner.timed(number).with_heartbeat(worker_stats.clone(), number);
                        worker_stats.heartbeats[number].idle(runner.used_memory());
                        let _ = report.send(Ok(filter.apply()));
                        let reservations = Reservations::default();
                        let channel = receiver;
                        let mesh = generation.evaluator();
                        Worker {
                            number,
                            runner,
                            mesh,
                            generation,
                            live,
                            clock,
                            busy: None,
                            worker_stats,
                            taps,
                            reservations,
                            channel,
                        }
                        .run();
                    }
                    Err(error) => {
                        let _ = report.send(Err(error));
                    }
                }
            };
            let thread =
                std::thread::Builder::new().name(format!("worker-{number}")).stack_size(STACK_BYTES).spawn(body);
            threads.push(thread.map_err(|error| format!("cannot start a worker thread: {error}"))?);
            channels.push(sender);
        }
        drop(report);
        let mut enforcement = Enforcement::Off;
        // Each worker reports once; if one panics before that, it drops its sender.
        for _ in &threads {
            enforcement = started.recv().map_err(|_| "a worker thread panicked at its start".to_owned())??;
        }
        Ok((Self { threads, worker_stats, taps, enforcement }, channels))
    }

    /// Whether the system calls of the workers are restricted.
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    /// The counters and heartbeats of the workers.
    pub fn worker_stats(&self) -> &Arc<WorkerStats> {
        &self.worker_stats
    }

    /// The taps on the messages of the workers.
    pub fn taps(&self) -> &Arc<Taps> {
        &self.taps
    }

    /// Waits until the workers have ended. They end when their channels are dropped.
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

struct Worker {
    number: usize,
    runner: Runner,
    mesh: Option<Evaluator>,
    generation: Arc<Generation>,
    live: Live,
    clock: Arc<Clock>,
    /// Held from the start of a batch to its end, if the program has snippets.
    busy: Option<Busy>,
    worker_stats: Arc<WorkerStats>,
    taps: Arc<Taps>,
    reservations: Reservations,
    channel: BatchReceiver,
}

impl Worker {
    fn run(mut self) {
        while let Some(batch) = self.next() {
            self.update_generation();
            self.start_clock();
            self.process_safely(batch, false);
        }
        self.worker_stats.heartbeats[self.number].end();
    }

    /// The next batch. Waits if none is there: the worker is idle then.
    fn next(&mut self) -> Option<Batch> {
        let waiting = self.channel.take_waiting();
        if waiting.is_some() {
            return waiting;
        }
        self.busy = None;
        self.worker_stats.heartbeats[self.number].idle(self.runner.used_memory());
        self.channel.take()
    }

    /// Keeps the clock running until the worker is idle, if anything runs whose time is limited: waking the clock's thread costs
    /// as much as several transactions without snippets.
    fn start_clock(&mut self) {
        if self.busy.is_none() && self.runner.has_snippets() {
            self.busy = Some(self.clock.busy());
        }
    }

    /// Processes a batch; `between` says that it is in the middle of another one.
    fn process_safely(&mut self, batch: Batch, between: bool) {
        let fence = batch.fence.clone();
        // A panic is a bug; it must not end the service.
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| self.process(batch, between)));
        if done.is_err() {
            if let Some(suppressed) = PANICS.admit() {
                tracing::error!(suppressed, "a worker panicked; its batch was not accepted. Please report this");
            }
            fence.inspect(|fence| fence.raise());
            self.reservations.release(&self.generation);
            self.runner.recreate_vm();
        }
    }

    /// Processes a small batch of another sender, if one waits, in the middle of one of `share`.
    fn process_other(&mut self, share: Share) {
        if let Some(batch) = self.channel.take_small_of_other(share) {
            let own = std::mem::take(&mut self.reservations);
            self.process_safely(batch, true);
            self.reservations = own;
        }
    }

    /// Changes to the active generation. Returns whether it is a new one.
    fn update_generation(&mut self) -> bool {
        let current = self.live.load();
        if Arc::ptr_eq(&current, &self.generation) {
            return false;
        }
        let next = current.clone();
        drop(current);
        match Runner::new(next.program.clone()) {
            Ok(runner) => {
                self.runner = runner.timed(self.number).with_heartbeat(self.worker_stats.clone(), self.number);
                self.mesh = next.evaluator();
                self.generation = next;
                // In the middle of a batch, too: the snippets of the new program need it.
                self.start_clock();
                true
            }
            Err(error) => {
                tracing::error!(%error, "the new configuration does not fit into a VM; this worker keeps the old one");
                false
            }
        }
    }

    fn process(&mut self, batch: Batch, between: bool) {
        let Batch { mut transactions, all_or_none, match_routes, replay, input, fence, share, bytes, reply, .. } =
            batch;
        if fence.as_ref().is_some_and(|fence| fence.is_raised()) {
            reply.send(BatchResult { accepted: 0, error: None, rest: transactions });
            return;
        }
        if match_routes {
            for transaction in &mut transactions {
                self.runner.fill_route(transaction);
            }
        }
        if let Some(input) = input {
            self.generation.program.asks.watch(input, &transactions);
        }
        let (needs, accepted, error, full) = loop {
            let needs: Vec<Needs> = transactions.iter().map(|transaction| self.needs(transaction)).collect();
            let (accepted, refusal) = self.reserve(&needs, all_or_none);
            // A queue that a reload has closed accepts nothing; the new generation has another queue. The generation of a
            // batch stays the same while another one is processed in between.
            if accepted > 0 || between || !self.update_generation() {
                refusal.inspect(|refusal| refusal.count(&self.generation));
                let full = refusal.and_then(|refusal| self.full(refusal, &transactions, bytes));
                break (needs, accepted, refusal.map(|refusal| refusal.into_error(&self.generation)), full);
            }
        };
        let rest = transactions.split_off(accepted);
        if let Some(fence) = fence.filter(|_| !rest.is_empty()) {
            fence.raise();
        }
        if accepted == 0 {
            let result = BatchResult { accepted: 0, error, rest };
            match full {
                Some(full) => reply.refuse(result, full),
                None => reply.send(result),
            }
            return;
        }
        self.run_all(transactions, needs, replay, Some(share).filter(|_| !between));
        self.worker_stats.transactions.fetch_add(accepted as u64, Ordering::Relaxed);
        // A panic drops the receipt, too. Then no answer is sent, and the batch counts as not accepted.
        let appended = Arc::new(AtomicBool::new(false));
        let complete = appended.clone();
        let receipt = Receipt::new(move || {
            if complete.load(Ordering::Acquire) {
                reply.send(BatchResult { accepted, error, rest });
            }
        });
        self.reservations.append(&self.generation, &receipt);
        appended.store(true, Ordering::Release);
    }

    /// The queue that refused a batch, if it is full and every transaction goes to it.
    fn full(&self, refusal: Refusal, transactions: &[Transaction], bytes: usize) -> Option<FullQueue> {
        let step = refusal.full_step().filter(|step| self.runner.runs_for_all(*step))?;
        let plugin = self.generation.output_label(step);
        let queue = Arc::downgrade(self.generation.queues[step].as_ref()?);
        Some(FullQueue { queue, plugin, transactions: transactions.len(), bytes })
    }

    /// What a transaction needs of the queues.
    fn needs(&mut self, transaction: &Transaction) -> Needs {
        let lines = match (&mut self.mesh, transaction.attachment::<Record>()) {
            (Some(mesh), Some(record)) => mesh.lines(record),
            _ => Vec::new(),
        };
        Needs { plan: self.runner.plan(transaction), size: transaction.bytes().len(), lines }
    }

    /// Runs the transactions of a batch that have reservations, and in between small batches of others than `share`.
    fn run_all(&mut self, transactions: Vec<Transaction>, needs: Vec<Needs>, replay: bool, share: Option<Share>) {
        let program = self.runner.program().clone();
        let subscribers = self.taps.subscribers();
        let (mut slice, first) = (0, program.steps.len());
        for (transaction, Needs { plan, size, lines }) in transactions.into_iter().zip(needs) {
            if let Some(share) = share.filter(|_| slice >= SLICE) {
                slice = 0;
                self.process_other(share);
            }
            slice += size;
            self.runner.set_replay(replay);
            let mut collector = Collector {
                program: &program,
                worker_stats: &self.worker_stats,
                size,
                reservations: &mut self.reservations,
                generation: &self.generation,
            };
            self.worker_stats.heartbeats[self.number].start(transaction.bytes().clone());
            if let Some(reason) = plan.unlogged.filter(|_| lines.is_empty()) {
                self.worker_stats.unlogged.add(reason, &transaction);
            }
            match &subscribers {
                None => self.runner.run(transaction, &plan, &mut collector),
                Some(subscribers) => {
                    let mut tapped =
                        TappedObserver::new(subscribers, program.clone(), transaction.clone(), &mut collector);
                    self.runner.run(transaction, &plan, &mut tapped);
                }
            }
            for line in lines {
                let output = program.mesh.as_ref().and_then(|engine| engine.outputs().get(line.output));
                if let (Some(subscribers), Some(output)) = (&subscribers, output) {
                    offer_line(subscribers, &(&output.destination).into(), &line.text);
                }
                self.reservations.push(first + line.output, line.text);
            }
        }
    }

    /// Reserves room for as many of the transactions as fit, from the front; with `all_or_none` for all or none. Returns
    /// their number, and why the next one does not fit.
    fn reserve(&mut self, needs: &[Needs], all_or_none: bool) -> (usize, Option<Refusal>) {
        let refusal = match self.reservations.reserve(&self.generation, needs) {
            Ok(()) => return (needs.len(), None),
            Err(refusal) => refusal,
        };
        if all_or_none {
            return (0, Some(refusal));
        }
        for at in 0..needs.len() {
            let one = self.reservations.reserve(&self.generation, &needs[at..=at]);
            if let Err(refusal) = one {
                return (at, Some(refusal));
            }
        }
        (needs.len(), None)
    }
}

/// Collects the messages of a batch and logs its failures.
struct Collector<'a> {
    program: &'a Program,
    worker_stats: &'a WorkerStats,
    /// Bytes of the current transaction.
    size: usize,
    reservations: &'a mut Reservations,
    generation: &'a Generation,
}

impl Observer for Collector<'_> {
    fn message(&mut self, step: usize, message: Bytes) {
        if self.generation.queues[step].is_some() {
            self.reservations.push(step, message);
        }
    }

    fn failed(&mut self, part: Part, error: &ScriptError) {
        let step = &self.program.steps[part.step];
        let compiled = &step.parts[part.part];
        let Some(times) = step.breakers()[part.part].record_failure() else { return };
        let place = compiled.source.line_origin(error.line.unwrap_or(1));
        let field = compiled.name();
        tracing::warn!(plugin = %step.label, field, %place, times, "a Lua snippet failed: {error}");
    }

    fn refused(&mut self, step: usize, error: &BodyError) {
        self.reservations.drop_message(self.generation, step, self.size, DropReason::Body);
        self.worker_stats.refused.fetch_add(1, Ordering::Relaxed);
        let step = &self.program.steps[step];
        if let Some(times) = step.body_errors.add(1) {
            let plugin = &step.label;
            tracing::error!(%plugin, times, "a message is not sent: {error}; set on_body_error to keep to send it");
        }
    }

    fn dropped(&mut self, step: usize) {
        self.worker_stats.dropped.fetch_add(1, Ordering::Relaxed);
        self.reservations.drop_message(self.generation, step, self.size, DropReason::Script);
    }
}
