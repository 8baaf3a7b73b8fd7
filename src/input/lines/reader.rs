//! From a stream of lines to what takes them.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::splitter::{Line, LineSplitter, Splitter};
use super::taker::{Taker, Transactions};
use crate::decode::Decode;
use crate::input::{Counters, Reason};
use crate::phase::{Intake, IntakeError};

/// The size of a connection's first read: one transaction of most. A peer that sends more gets larger ones.
const INITIAL_READ_BYTES: usize = 4 << 10;

/// A line that was not taken.
#[derive(Debug)]
pub(in crate::input) struct Rejected {
    /// Counted from 1.
    pub(in crate::input) line: u64,
    pub(in crate::input) reason: Reason,
    pub(in crate::input) message: String,
}

/// Called for every line that is not taken.
type OnReject<'a> = &'a mut (dyn FnMut(Rejected) + Send);

/// Reads, splits, decodes and delivers in order. While batches are on their way to the queues the next one is read and
/// decoded, and grows until it may follow. When it is full, nothing more is read: that is the back-pressure.
pub(in crate::input) struct LineReader<T, S = LineSplitter> {
    input: &'static str,
    taker: T,
    counters: Arc<Counters>,
    splitter: S,
    read_bytes: usize,
    max_read_bytes: usize,
    /// Set when the service takes no more.
    refused: Option<IntakeError>,
}

impl<D: Decode> LineReader<Transactions<D>> {
    /// A reader of lines of transactions.
    pub(in crate::input) fn new(
        input: &'static str,
        intake: Intake,
        counters: Arc<Counters>,
        decoder: D,
        max_read_bytes: usize,
    ) -> Self {
        let splitter = LineSplitter::new(decoder.max_frame_bytes());
        Self::with_splitter(input, counters, Transactions::new(intake, decoder), splitter, max_read_bytes)
    }
}

impl<T: Taker, S: Splitter> LineReader<T, S> {
    /// A reader of what `splitter` finds in the stream, for `taker`.
    pub(in crate::input) fn with_splitter(
        input: &'static str,
        counters: Arc<Counters>,
        taker: T,
        splitter: S,
        max_read_bytes: usize,
    ) -> Self {
        let read_bytes = INITIAL_READ_BYTES.min(max_read_bytes);
        Self { input, taker, counters, splitter, read_bytes, max_read_bytes, refused: None }
    }

    /// The number of lines so far.
    pub(in crate::input) fn lines(&self) -> u64 {
        self.splitter.lines()
    }

    /// Bytes that are held of a line whose end was not read yet.
    pub(in crate::input) fn unfinished_bytes(&mut self) -> usize {
        let buffer = self.splitter.buffer();
        if buffer.is_empty() { 0 } else { buffer.capacity().saturating_sub(INITIAL_READ_BYTES) }
    }

    /// Rejects the line whose end was not read yet.
    pub(in crate::input) fn reject_unfinished(&mut self, reason: Reason, message: String, on_reject: OnReject<'_>) {
        self.splitter.buffer().clear();
        self.reject(Rejected { line: self.splitter.lines() + 1, reason, message }, on_reject);
    }

    /// Reads once; 0 at the end of the stream, and when the service takes no more. Loses nothing if the future is dropped.
    pub(in crate::input) async fn read(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        let buffer = self.splitter.buffer();
        if buffer.capacity() - buffer.len() < self.read_bytes / 2 {
            buffer.reserve(self.read_bytes);
        }
        let room = buffer.capacity() - buffer.len();
        let read = loop {
            let splitter = &mut self.splitter;
            let read_bytes = &mut self.read_bytes;
            let reading = std::future::poll_fn(|task| {
                match pin!(reader.read_buf(splitter.buffer())).poll(task) {
                    // Memory that is not needed is given back while the peer is silent.
                    Poll::Pending if splitter.shrink(INITIAL_READ_BYTES) => {
                        *read_bytes = INITIAL_READ_BYTES.min(self.max_read_bytes);
                        pin!(reader.read_buf(splitter.buffer())).poll(task)
                    }
                    read => read,
                }
            });
            tokio::select! {
                biased;
                read = reading => break read?,
                taken = self.taker.advance() => {
                    if self.record(taken).is_err() {
                        return Ok(0);
                    }
                }
            }
            self.send_if_room();
        };
        // A peer that fills its buffer gets a larger one: fewer, larger batches.
        if read == room {
            self.read_bytes = (self.read_bytes * 2).min(self.max_read_bytes);
        }
        self.counters.count_bytes(read);
        Ok(read)
    }

    /// Whether the stream cannot be read on, because where its next line begins is not known.
    pub(in crate::input) fn is_broken(&self) -> bool {
        self.splitter.fault().is_some()
    }

    /// Decodes the lines that are complete and sends them; fails when the service takes no more.
    pub(in crate::input) async fn process(&mut self, on_reject: OnReject<'_>) -> Result<(), IntakeError> {
        while let Some(line) = self.splitter.next() {
            if let Err(rejected) = self.decode(line) {
                self.reject(rejected, on_reject);
            }
            if self.taker.is_full() {
                self.send().await?;
            }
        }
        if let Some(message) = self.splitter.fault() {
            let line = self.splitter.lines() + 1;
            self.reject(Rejected { line, reason: Reason::Malformed, message }, on_reject);
        }
        self.send_if_room();
        self.refused.clone().map_or(Ok(()), Err)
    }

    /// Takes a last line without a line end, if it can be decoded, and waits until everything is in the queues.
    pub(in crate::input) async fn finish(&mut self, on_reject: OnReject<'_>) -> Result<(), IntakeError> {
        if let Some(line) = self.splitter.last()
            && let Err(mut rejected) = self.decode(line)
        {
            if rejected.reason == Reason::Malformed {
                rejected.reason = Reason::Incomplete;
                rejected.message = format!("the last line has no line end and is not complete: {}", rejected.message);
            }
            self.reject(rejected, on_reject);
        }
        self.send().await?;
        while !self.taker.is_empty() {
            let taken = self.taker.advance().await;
            self.record(taken)?;
        }
        Ok(())
    }

    fn decode(&mut self, line: Line) -> Result<(), Rejected> {
        let Some(text) = line.text else {
            let limit = self.taker.max_line_bytes();
            let message = format!("longer than the limit of {limit} bytes for a transaction");
            return Err(Rejected { line: line.number, reason: Reason::TooLarge, message });
        };
        let rejected = |(reason, message)| Rejected { line: line.number, reason, message };
        self.taker.add(text).map_err(rejected)
    }

    fn reject(&self, rejected: Rejected, on_reject: OnReject<'_>) {
        self.counters.count_rejected(rejected.reason);
        on_reject(rejected);
    }

    /// Sends the batch if there is room for it behind those sent before.
    fn send_if_room(&mut self) {
        if self.taker.batch_len() > 0 && self.taker.has_room() && self.refused.is_none() {
            self.taker.send();
        }
    }

    /// Waits for room and sends the batch.
    async fn send(&mut self) -> Result<(), IntakeError> {
        while !self.taker.has_room() && self.refused.is_none() {
            let taken = self.taker.advance().await;
            let _ = self.record(taken);
        }
        match self.refused.clone() {
            None => self.send_if_room(),
            Some(refusal) => {
                let lost = self.taker.drop_batch();
                self.count_lost(lost);
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn record(&mut self, taken: Result<usize, IntakeError>) -> Result<(), IntakeError> {
        match taken {
            Ok(taken) => self.counters.count_received(taken),
            Err(refusal) => {
                self.refused = Some(refusal.clone());
                let lost = self.taker.abandon();
                self.count_lost(lost);
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn count_lost(&self, transactions: usize) {
        if transactions > 0 {
            self.counters.count_lost(transactions as u64);
            // Every connection may lose some at the same time.
            let Some(suppressed) = self.counters.log_limit.admit() else { return };
            let input = self.input;
            tracing::error!(input, transactions, suppressed, "lost: the service shut down before they were taken");
        }
    }
}
