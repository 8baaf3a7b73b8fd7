//! A turn of one file: its next lines are read, decoded, handed in, and waited for.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::position::{MARK_BYTES, Mark, Position, read_at};
use crate::decode::Decode;
use crate::input::lines::{LineSplitter, Splitter};
use crate::input::{Context, Reason};
use crate::phase::{Intake, OrderedIntake};
use logphase_script::transaction::Transaction;

/// Bytes of one read.
const READ_BYTES: usize = 256 << 10;

/// Bytes of one read while the queues have no room.
const STALLED_READ_BYTES: usize = 16 << 10;

/// Transactions of one batch, and their bytes except for the last one, at most. A turn has up to 16 batches in flight.
const BATCH_TRANSACTIONS: usize = 1024;
const BATCH_BYTES: usize = 128 << 10;

/// Lines that wait to be settled, at most.
const MAX_WAITING_LINES: usize = 64 << 10;

/// Bytes of a turn while other files wait for theirs.
const TURN_BYTES: u64 = 4 << 20;

/// Time without progress after which a turn ends, because the queues have no room.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// How far a file was read, as its turns report it.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Up to where everything is safe.
    pub(super) position: Position,
    /// Up to where no line end follows the position.
    pub(super) scanned: u64,
}

impl From<Position> for Progress {
    fn from(position: Position) -> Self {
        Self { position, scanned: position.offset }
    }
}

/// Why a turn ended.
#[derive(Debug)]
pub(super) enum End {
    /// Everything that the file has was read.
    Read,
    /// Other files wait.
    GivesWay,
    /// The queues have no room. What was read and did not fit is read again.
    Stalled,
    /// The file is not the one that was read: it was truncated, or its inode is that of another one.
    Replaced,
    /// The service stops.
    Stopped,
    /// The file cannot be read.
    Failed(io::Error),
}

/// What a turn is started with.
pub(super) struct Turn<D> {
    pub(super) context: Context,
    pub(super) intake: Intake,
    pub(super) decoder: D,
    pub(super) file: Arc<File>,
    /// Its name, for the log.
    pub(super) path: PathBuf,
    pub(super) progress: Arc<Mutex<Progress>>,
    /// Whether the last turn of the file stalled: then it tries with little.
    pub(super) stalled: bool,
    /// Whether nothing more is written to the file, so that a last line without a line end is one.
    pub(super) is_last: bool,
    /// The number of files that wait for a turn.
    pub(super) waiting: Arc<AtomicUsize>,
}

impl<D: Decode> Turn<D> {
    /// Reads until [`End`], and waits until everything that was handed in is settled.
    pub(super) async fn run(self) -> End {
        let (mut reader, begun) = match Reader::begin(self).await {
            Ok(begun) => begun,
            Err(error) => return End::Failed(error),
        };
        let end = match begun {
            Some(end) => end,
            None => reader.read().await.unwrap_or_else(|end| end),
        };
        match reader.finish().await {
            Ok(()) => {
                reader.note_unfinished();
                end
            }
            Err(End::Stalled) if matches!(end, End::Failed(_) | End::Replaced | End::Stopped) => end,
            Err(earlier) => earlier,
        }
    }
}

/// A line that was read and is not settled.
struct Line {
    /// The position after it. Its mark of everything is set at the ends of reads only.
    after: Position,
    /// Transactions of it.
    transactions: usize,
    /// Why it has none.
    rejected: Option<Box<(Reason, String)>>,
}

struct Reader<D> {
    turn: Turn<D>,
    intake: OrderedIntake,
    splitter: LineSplitter,
    /// Where the next read begins.
    at: u64,
    /// The bytes before that.
    seen: Mark,
    /// The first bytes of the file.
    head: Vec<u8>,
    /// Of everything up to `at`.
    hasher: crc32fast::Hasher,
    hashed_from: u64,
    /// The position after the last line.
    position: Position,
    lines: VecDeque<Line>,
    batch: Vec<Transaction>,
    batch_bytes: usize,
}

/// What is read before the first line of a turn.
struct Beginning {
    fits: bool,
    head: Vec<u8>,
    whole: Mark,
    /// Up to where no line end was found, if one was looked for.
    scanned: Option<u64>,
}

impl<D: Decode> Reader<D> {
    /// Compares the file with what was read of it. Also returns whether the turn is over already.
    async fn begin(turn: Turn<D>) -> io::Result<(Self, Option<End>)> {
        let Progress { mut position, scanned } = turn.progress.lock().clone();
        let (file, limit, is_last) = (turn.file.clone(), turn.decoder.max_frame_bytes() as u64, turn.is_last);
        let Beginning { fits, head, whole, scanned } =
            blocking(move || look(&file, &position, scanned.max(position.offset), limit, is_last)).await?;
        position.whole = whole;
        let mut reader = Self {
            intake: OrderedIntake::new(turn.intake.clone()),
            splitter: LineSplitter::starting_at(position.offset, position.skipping, turn.decoder.max_frame_bytes()),
            at: position.offset,
            seen: position.last,
            head,
            hasher: whole.hasher(),
            hashed_from: whole.start(),
            position,
            lines: VecDeque::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            turn,
        };
        if !fits {
            return Ok((reader, Some(End::Replaced)));
        }
        let Some(scanned) = scanned else { return Ok((reader, None)) };
        if scanned - position.offset > limit {
            reader.leave_out(scanned).await?;
            return Ok((reader, None));
        }
        reader.at = scanned;
        Ok((reader, Some(End::Read)))
    }

    /// Leaves out the line at the position: up to `scanned` it has no end, and is too long already.
    async fn leave_out(&mut self, scanned: u64) -> io::Result<()> {
        let (file, whole) = (self.turn.file.clone(), self.position.whole);
        self.position.whole = blocking(move || extended(whole, &file, scanned)).await?;
        self.hasher = self.position.whole.hasher();
        (self.position.offset, self.position.skipping) = (self.position.whole.end(), true);
        self.at = self.position.offset;
        let limit = self.turn.decoder.max_frame_bytes();
        self.splitter = LineSplitter::starting_at(self.at, true, limit);
        let rejected = Some(Box::new((Reason::TooLarge, too_long(limit))));
        self.lines.push_back(Line { after: self.position, transactions: 0, rejected });
        Ok(())
    }

    /// Reads until there is a reason to end.
    async fn read(&mut self) -> Result<End, End> {
        let begin = self.at;
        loop {
            if self.turn.context.is_stopping() {
                return Ok(End::Stopped);
            }
            let read = self.read_block().await?;
            self.split().await?;
            if read == 0 {
                break;
            }
            if self.at - begin >= TURN_BYTES && self.turn.waiting.load(Ordering::Relaxed) > 0 {
                return Ok(End::GivesWay);
            }
        }
        if self.turn.is_last
            && let Some(line) = self.splitter.last()
        {
            self.take(line.text, true);
        }
        Ok(End::Read)
    }

    /// Reads behind what was read, if that still is there.
    async fn read_block(&mut self) -> Result<usize, End> {
        let room = if self.turn.stalled { STALLED_READ_BYTES } else { READ_BYTES };
        let (file, seen, at) = (self.turn.file.clone(), self.seen, self.at);
        let mut buffer = std::mem::take(self.splitter.buffer());
        let before = buffer.len();
        let read = blocking(move || {
            let size = file.metadata()?.len();
            if size < at || !seen.is_in(&file)? {
                return Ok(None);
            }
            buffer.resize(before + room.min(usize::try_from(size - at).unwrap_or(room)), 0);
            let read = read_at(&file, &mut buffer[before..], at)?;
            buffer.truncate(before + read);
            Ok(Some(buffer))
        });
        let buffer: BytesMut = read.await.map_err(End::Failed)?.ok_or(End::Replaced)?;
        let new = &buffer[before..];
        let read = new.len();
        if read > 0 {
            let start = buffer.len().saturating_sub(MARK_BYTES);
            let known = (buffer.len() - start) as u64;
            self.seen = Mark::of(self.at + read as u64 - known, &buffer[start..]);
            if self.at == self.head.len() as u64 {
                let missing = MARK_BYTES.saturating_sub(self.head.len()).min(read);
                self.head.extend_from_slice(&new[..missing]);
            }
        }
        self.hash(new);
        self.at += read as u64;
        *self.splitter.buffer() = buffer;
        Ok(read)
    }

    /// Adds `new` to the checksum of everything; keeps what it is at the end of the last whole line.
    fn hash(&mut self, new: &[u8]) {
        let lines = memchr::memrchr(b'\n', new).map_or(0, |end| end + 1);
        self.hasher.update(&new[..lines]);
        if lines > 0 {
            let end = self.at + lines as u64;
            self.position.whole = Mark::of_hasher(self.hashed_from, end, &self.hasher);
        }
        self.hasher.update(&new[lines..]);
    }

    /// Decodes the lines that are complete, and hands them in.
    async fn split(&mut self) -> Result<(), End> {
        while let Some(line) = self.splitter.next() {
            self.take(line.text, false);
            if self.batch.len() >= BATCH_TRANSACTIONS || self.batch_bytes >= BATCH_BYTES {
                self.send().await?;
            }
            if self.lines.len() >= MAX_WAITING_LINES {
                self.settle(0);
            }
            while self.lines.len() >= MAX_WAITING_LINES {
                self.send().await?;
                self.advance().await?;
            }
        }
        self.pass_over();
        self.settle(0);
        if self.intake.has_room() {
            self.push();
        }
        Ok(())
    }

    fn take(&mut self, text: Option<Bytes>, unfinished: bool) {
        let limit = self.turn.decoder.max_frame_bytes();
        let before = self.batch.len();
        let rejected = match text {
            None => Some((Reason::TooLarge, too_long(limit))),
            Some(text) => self.turn.decoder.decode(text, &mut self.batch).err().map(|error| {
                let cut = unfinished && !error.too_large;
                (if cut { Reason::Incomplete } else { Reason::from(&error) }, error.to_string())
            }),
        };
        let new = &self.batch[before..];
        self.batch_bytes += new.iter().map(|transaction| transaction.bytes().len()).sum::<usize>();
        let transactions = new.len();
        self.end_line(transactions, rejected.map(Box::new));
    }

    /// Passes over empty lines and parts of one that is left out.
    fn pass_over(&mut self) {
        if self.splitter.offset() > self.position.offset {
            if self.splitter.is_skipping() {
                self.position.whole = Mark::of_hasher(self.hashed_from, self.at, &self.hasher);
            }
            self.end_line(0, None);
        }
    }

    /// Ends a line where the splitter is.
    fn end_line(&mut self, transactions: usize, rejected: Option<Box<(Reason, String)>>) {
        let offset = self.splitter.offset();
        let recent = self.splitter.recent(MARK_BYTES);
        if !recent.is_empty() {
            self.position.last = Mark::of(offset - recent.len() as u64, recent);
        }
        let head = self.head.len().min(usize::try_from(offset).unwrap_or(MARK_BYTES));
        self.position.head = Mark::of(0, &self.head[..head]);
        (self.position.offset, self.position.skipping) = (offset, self.splitter.is_skipping());
        // Within what was read at once, everything is known up to its last line only.
        let whole = if offset < self.position.whole.end() { self.earlier_whole() } else { self.position.whole };
        self.lines.push_back(Line { after: Position { whole, ..self.position }, transactions, rejected });
    }

    /// The mark of everything that the line before has.
    fn earlier_whole(&self) -> Mark {
        let settled = || self.turn.progress.lock().position.whole;
        self.lines.back().map_or_else(settled, |line| line.after.whole)
    }

    fn push(&mut self) {
        if !self.batch.is_empty() {
            self.batch_bytes = 0;
            self.intake.push(std::mem::take(&mut self.batch));
        }
    }

    /// Waits for room and hands in the batch.
    async fn send(&mut self) -> Result<(), End> {
        while !self.intake.has_room() {
            self.advance().await?;
        }
        self.push();
        Ok(())
    }

    /// Waits for entries to be safe.
    async fn advance(&mut self) -> Result<(), End> {
        loop {
            match timeout(STALLED_AFTER, self.intake.advance()).await {
                Ok(Ok(taken)) => {
                    self.settle(taken);
                    return Ok(());
                }
                Ok(Err(_)) => return Err(self.give_up(End::Stopped)),
                Err(_) if self.intake.waits_for_room() => return Err(self.give_up(End::Stalled)),
                // The worker is busy with what it has. Its answer is waited for, so that nothing is handed in twice.
                Err(_) => {}
            }
        }
    }

    /// What was not accepted is read again, in another turn or by the next process.
    fn give_up(&mut self, end: End) -> End {
        self.intake.abandon();
        self.batch.clear();
        end
    }

    /// Everything is settled but a line without an end: up to where there is none need not be searched again.
    fn note_unfinished(&self) {
        let mut progress = self.turn.progress.lock();
        progress.scanned = progress.scanned.max(self.at);
    }

    /// Hands in the rest and waits for all of it.
    async fn finish(&mut self) -> Result<(), End> {
        if self.intake.is_empty() && self.batch.is_empty() {
            self.settle(0);
            return Ok(());
        }
        self.send().await?;
        while !self.intake.is_empty() {
            self.advance().await?;
        }
        Ok(())
    }

    /// Moves the position past the lines whose transactions are accepted, and those that have none.
    fn settle(&mut self, mut accepted: usize) {
        let counters = self.turn.context.counters();
        counters.count_received(accepted);
        let mut reached = None;
        while let Some(line) = self.lines.front_mut() {
            if line.transactions > accepted {
                line.transactions -= accepted;
                break;
            }
            accepted -= line.transactions;
            reached = Some(line.after);
            if let Some((reason, message)) = line.rejected.take().map(|rejected| *rejected) {
                counters.count_rejected(reason);
                if let Some(suppressed) = counters.log_limit.admit() {
                    let (input, path, end) = (self.turn.context.input(), self.turn.path.display(), line.after.offset);
                    let reason = reason.name();
                    tracing::warn!(input, file = %path, end, reason, suppressed, "line not taken: {message}");
                }
            }
            self.lines.pop_front();
        }
        let Some(reached) = reached else { return };
        let mut progress = self.turn.progress.lock();
        counters.count_bytes(usize::try_from(reached.offset - progress.position.offset).unwrap_or(0));
        progress.position = reached;
        progress.scanned = progress.scanned.max(reached.offset);
    }
}

fn too_long(limit: usize) -> String {
    format!("longer than the limit of {limit} bytes for a transaction")
}

/// Compares `file` with what was read of it. If it was searched up to `scanned` for the end of a line in vain, continues to
/// search, unless the line ends there in any case.
fn look(file: &File, position: &Position, scanned: u64, limit: u64, is_last: bool) -> io::Result<Beginning> {
    let size = file.metadata()?.len();
    let mut head = vec![0; MARK_BYTES];
    let known = read_at(file, &mut head, 0)?;
    // Only what was read: the rest may be half written.
    head.truncate(known.min(usize::try_from(position.offset).unwrap_or(MARK_BYTES)));
    let fits = position.fits(file, size)?;
    // A part of a line can be taken back.
    let scanned = if scanned > size { position.offset } else { scanned };
    if !fits {
        return Ok(Beginning { fits, head, whole: Mark::default(), scanned: None });
    }
    let whole = extended(position.whole, file, position.offset)?;
    let scanned = if scanned > position.offset && !is_last && !position.skipping {
        without_line_end(file, scanned, position.offset + limit)?
    } else {
        None
    };
    Ok(Beginning { fits, head, whole, scanned })
}

/// Where `file` ends, if it has no line end from `from` on, or the first offset past `limit` without one.
fn without_line_end(file: &File, mut from: u64, limit: u64) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; 64 << 10];
    while from <= limit {
        let read = read_at(file, &mut buffer, from)?;
        if memchr::memchr(b'\n', &buffer[..read]).is_some() {
            return Ok(None);
        }
        from += read as u64;
        if read < buffer.len() {
            break;
        }
    }
    Ok(Some(from))
}

/// `whole` with everything up to `end`.
fn extended(whole: Mark, file: &File, end: u64) -> io::Result<Mark> {
    let (mut hasher, mut at) = (whole.hasher(), whole.end());
    let mut buffer = vec![0; usize::try_from(end.saturating_sub(at)).unwrap_or(READ_BYTES).min(READ_BYTES)];
    while at < end {
        let part = usize::try_from(end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = read_at(file, &mut buffer[..part], at)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        at += read as u64;
    }
    Ok(Mark::of_hasher(whole.start(), at, &hasher))
}

/// Runs what waits for the disk on a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| Err(io::Error::other(ended)))
}
