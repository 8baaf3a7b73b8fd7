//! From the lines of one stream to the queues of their collectors, in order for each collector.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use logphase_io::count::counted;
use tokio::sync::oneshot;

use crate::delivery::{Collector, CollectorError, Collectors};
use crate::input::lines::Taker;
use crate::input::{Context, Reason};
use crate::mesh::StreamedLine;
use crate::phase::{IntakeError, LineOutput};
use logphase_queue::{Receipt, ReserveError};

/// Lines of one batch, at most.
const BATCH_LINES: usize = 1024;
/// Bytes of one batch, except for its last line.
const BATCH_BYTES: usize = 256 << 10;
/// Parts of batches that are in the queues and not safe yet, at most.
const MAX_IN_FLIGHT: usize = 16;
/// The longest pause before lines are offered to a full queue again.
const ROOM_PAUSE: Duration = Duration::from_millis(50);
/// The pause before a queue that cannot be opened is tried again.
const OPEN_PAUSE: Duration = Duration::from_secs(1);
/// Collectors that a stream remembers.
const MAX_KNOWN: usize = 1024;

/// Takes the lines of one stream.
pub(super) struct Forwarder {
    context: Context,
    collectors: Collectors,
    max_line_bytes: usize,
    /// Those that lines of the stream have named.
    known: HashMap<Arc<str>, Arc<Collector>>,
    batch: Vec<(Arc<str>, Bytes)>,
    batch_bytes: usize,
    /// What was sent and is in no queue yet, by collector.
    waiting: VecDeque<Group>,
    /// What is in the queues and not safe yet.
    in_flight: VecDeque<InFlight>,
}

/// Lines for one collector.
struct Group {
    address: Arc<str>,
    lines: VecDeque<Bytes>,
}

struct InFlight {
    lines: usize,
    safe: oneshot::Receiver<()>,
}

/// What became of the first lines of a group.
enum Step {
    /// They are in their queue, or counted as what cannot be.
    Done,
    /// Nothing has changed, and may do so in this time at the latest.
    Wait(Duration),
}

impl Forwarder {
    pub(super) fn new(context: Context, collectors: Collectors, max_line_bytes: usize) -> Self {
        Self {
            context,
            collectors,
            max_line_bytes,
            known: HashMap::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
        }
    }

    /// Moves on with the first lines that wait.
    async fn step(&mut self) -> Step {
        let Some(address) = self.waiting.front().map(|group| group.address.clone()) else { return Step::Done };
        let collector = match self.known.get(&address) {
            Some(known) => known.clone(),
            None => match self.collectors.collector(&address).await {
                Ok(collector) => {
                    if self.known.len() >= MAX_KNOWN {
                        self.known.clear();
                    }
                    self.known.insert(address, collector.clone());
                    collector
                }
                Err(error) => return self.without_collector(&error),
            },
        };
        self.collectors.touch(&collector);
        self.append(&collector)
    }

    /// Appends what waits, as long as its collector is known and has room.
    fn append_known(&mut self) {
        while let Some(collector) = self.waiting.front().and_then(|group| self.known.get(&group.address).cloned()) {
            self.collectors.touch(&collector);
            if matches!(self.append(&collector), Step::Wait(_)) {
                break;
            }
        }
    }

    /// Rejects the first group, whose collector has no output; waits if it may have one later.
    fn without_collector(&mut self, error: &CollectorError) -> Step {
        let reason = match error {
            CollectorError::NotAllowed(_) => Reason::NotAllowed,
            CollectorError::TooMany(_) => Reason::Full,
            CollectorError::NotOpened(_) => {
                self.warn(&format!("lines wait: {error}"));
                return Step::Wait(OPEN_PAUSE);
            }
        };
        if let Some(group) = self.waiting.pop_front() {
            self.context.counters.count_rejections(reason, group.lines.len());
            self.warn(&format!("{} for {} not taken: {error}", counted(group.lines.len(), "line"), group.address));
        }
        Step::Done
    }

    /// Appends as many of the first lines as have room.
    fn append(&mut self, collector: &Collector) -> Step {
        let Some(group) = self.waiting.front_mut() else { return Step::Done };
        let queue = collector.output.queue();
        let mut count = group.lines.len();
        let refused = loop {
            let bytes = group.lines.iter().take(count).map(Bytes::len).sum();
            match queue.reserve(count, bytes) {
                Ok(()) => {
                    let lines: Vec<Bytes> = group.lines.drain(..count).collect();
                    if let Some(taps) = self.context.intake.taps() {
                        taps.offer_lines(|| line_output(collector), &lines);
                    }
                    let (done, safe) = oneshot::channel();
                    // Nobody waits for it any more if the input has ended.
                    let receipt = Receipt::new(move || {
                        let _ = done.send(());
                    });
                    queue.append(lines, bytes, &receipt);
                    self.in_flight.push_back(InFlight { lines: count, safe });
                    break None;
                }
                Err(ReserveError::Closed) => {
                    // A reload, or a limit, has closed it; another one may take over.
                    self.known.remove(&group.address);
                    return Step::Done;
                }
                Err(_) if count > 1 => count /= 2,
                Err(error) => break Some(error),
            }
        };
        let step = match refused {
            None => Step::Done,
            Some(ReserveError::TooLarge) => {
                group.lines.pop_front();
                self.context.counters.count_rejected(Reason::TooLarge);
                Step::Done
            }
            Some(error) if collector.output.spec().queue.required => {
                queue.count_refusal(error, 0);
                Step::Wait(ROOM_PAUSE)
            }
            Some(error) => {
                group.lines.pop_front();
                queue.count_refusal(error, 1);
                self.context.counters.count_received(1);
                Step::Done
            }
        };
        if group.lines.is_empty() {
            self.waiting.pop_front();
        }
        step
    }

    /// Waits until the oldest lines in flight are safe. Returns how many. Pending while there are none. Cancel-safe.
    async fn safe(in_flight: &mut VecDeque<InFlight>) -> usize {
        let Some(first) = in_flight.front_mut() else { return std::future::pending().await };
        let _ = (&mut first.safe).await;
        in_flight.pop_front().map_or(0, |first| first.lines)
    }

    fn warn(&self, message: &str) {
        if let Some(suppressed) = self.context.counters.log_limit.admit() {
            tracing::warn!(input = self.context.input, suppressed, "{message}");
        }
    }
}

/// What taps call the output of a collector.
fn line_output(collector: &Collector) -> LineOutput {
    let spec = collector.output.spec();
    LineOutput { plugin: spec.plugin.clone(), id: spec.identity.clone(), instance: spec.instance.clone() }
}

impl Taker for Forwarder {
    fn max_line_bytes(&self) -> usize {
        self.max_line_bytes
    }

    fn add(&mut self, line: Bytes) -> Result<(), (Reason, String)> {
        // The splitter bounds only what it waits for.
        if line.len() > self.max_line_bytes {
            let message = format!("longer than the limit of {} bytes for a line", self.max_line_bytes);
            return Err((Reason::TooLarge, message));
        }
        let parsed = StreamedLine::parse(&line).map_err(|error| (Reason::Malformed, error.to_string()))?;
        let StreamedLine { address, message } = parsed;
        let last = self.batch.last().map(|(last, _)| last).filter(|last| ***last == *address);
        let known = last.or_else(|| self.known.get_key_value(&*address).map(|(known, _)| known));
        let address = match known {
            Some(known) => known.clone(),
            None if self.collectors.is_allowed(&address) => address.into(),
            None => return Err((Reason::NotAllowed, CollectorError::NotAllowed(address).to_string())),
        };
        self.batch_bytes += message.len();
        self.batch.push((address, message));
        Ok(())
    }

    fn batch_len(&self) -> usize {
        self.batch.len()
    }

    fn is_full(&self) -> bool {
        self.batch.len() >= BATCH_LINES || self.batch_bytes >= BATCH_BYTES
    }

    fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.len() < MAX_IN_FLIGHT
    }

    fn send(&mut self) {
        self.batch_bytes = 0;
        let mut batch = std::mem::take(&mut self.batch);
        // Lines of one collector stay in order.
        batch.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (address, line) in batch {
            match self.waiting.back_mut().filter(|group| group.address == address) {
                Some(group) => group.lines.push_back(line),
                None => self.waiting.push_back(Group { address, lines: VecDeque::from([line]) }),
            }
        }
        // So that the next batch need not wait until this one is safe.
        self.append_known();
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    async fn advance(&mut self) -> Result<usize, IntakeError> {
        loop {
            if self.waiting.is_empty() {
                return Ok(Self::safe(&mut self.in_flight).await);
            }
            if self.context.intake.is_closed() {
                return Err(IntakeError::ShuttingDown);
            }
            let room = self.collectors.room();
            let mut room = std::pin::pin!(room.notified());
            // Before a queue is asked, so that no later notification is missed.
            room.as_mut().enable();
            let Step::Wait(time) = self.step().await else { continue };
            tokio::select! {
                biased;
                lines = Self::safe(&mut self.in_flight) => return Ok(lines),
                () = room => {}
                () = tokio::time::sleep(time) => {}
            }
        }
    }

    fn abandon(&mut self) -> usize {
        self.waiting.drain(..).map(|group| group.lines.len()).sum()
    }

    fn drop_batch(&mut self) -> usize {
        self.batch_bytes = 0;
        std::mem::take(&mut self.batch).len()
    }
}
