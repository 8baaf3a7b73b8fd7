//! From a stream of JSON lines into the intake: what TCP, Unix sockets and standard input share.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::split::{Line, Splitter};
use crate::input::{Kind, Meters, Reason};
use crate::phase::{Intake, OrderedIntake, Refusal};
use logphase_script::transaction::{Limits, Transaction};

/// Transactions that go to a worker at once, at most.
const BATCH_TRANSACTIONS: usize = 1024;

/// Bytes that go to a worker at once, but for the last transaction's. Larger batches leave the processor's cache before
/// a worker comes to them.
const BATCH_BYTES: usize = 256 << 10;

/// What a connection's first read is made for.
const SMALLEST_READ: usize = 16 << 10;

/// A line that was not taken.
#[derive(Debug)]
pub(in crate::input) struct Rejected {
    pub(in crate::input) line: u64,
    pub(in crate::input) reason: Reason,
    pub(in crate::input) text: String,
}

/// Splits, parses and delivers in order. While batches are on their way to the queues the next is read and parsed, and
/// grows until it may follow; when it is full, nothing more is read, which is the back-pressure.
pub(in crate::input) struct Feed {
    lane: OrderedIntake,
    limits: Limits,
    meters: Arc<Meters>,
    kind: Kind,
    splitter: Splitter,
    read_size: usize,
    largest_read: usize,
    batch: Vec<Transaction>,
    batch_bytes: usize,
    /// The service takes no more.
    refused: Option<Refusal>,
}

impl Feed {
    pub(in crate::input) fn new(
        intake: Intake,
        limits: Limits,
        meters: Arc<Meters>,
        kind: Kind,
        largest_read: usize,
    ) -> Self {
        Self {
            lane: OrderedIntake::new(intake),
            limits,
            meters,
            kind,
            splitter: Splitter::new(limits.max_bytes),
            read_size: SMALLEST_READ.min(largest_read),
            largest_read,
            batch: Vec::new(),
            batch_bytes: 0,
            refused: None,
        }
    }

    /// How many lines there were so far.
    pub(in crate::input) fn lines(&self) -> u64 {
        self.splitter.lines()
    }

    /// Reads once; 0 at the end of the stream, and when the service takes no more. Loses nothing if it is dropped before
    /// it returns.
    pub(in crate::input) async fn read(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        let buffer = self.splitter.buffer();
        if buffer.capacity() - buffer.len() < self.read_size / 2 {
            buffer.reserve(self.read_size);
        }
        let room = buffer.capacity() - buffer.len();
        let read = loop {
            tokio::select! {
                biased;
                read = reader.read_buf(self.splitter.buffer()) => break read?,
                taken = self.lane.advance() => {
                    if self.note(taken).is_err() {
                        return Ok(0);
                    }
                }
            }
            self.send();
        };
        // A peer that fills what it is given gets more: fewer, larger batches.
        if read == room {
            self.read_size = (self.read_size * 2).min(self.largest_read);
        }
        self.meters.of(self.kind).read(read);
        Ok(read)
    }

    /// Sends every whole line that has come on its way; fails when the service takes no more.
    pub(in crate::input) async fn take(&mut self, reject: &mut (dyn FnMut(Rejected) + Send)) -> Result<(), Refusal> {
        while let Some(line) = self.splitter.next() {
            if let Err(rejected) = self.parse(line) {
                self.reject(rejected, reject);
            }
            if self.batch.len() >= BATCH_TRANSACTIONS || self.batch_bytes >= BATCH_BYTES {
                self.send_all().await?;
            }
        }
        self.send();
        self.refused.clone().map_or(Ok(()), Err)
    }

    /// Takes a last line without an end, if it is whole JSON, and waits until everything is in its queues.
    pub(in crate::input) async fn finish(&mut self, reject: &mut (dyn FnMut(Rejected) + Send)) -> Result<(), Refusal> {
        if let Some(line) = self.splitter.last()
            && let Err(mut rejected) = self.parse(line)
        {
            if rejected.reason == Reason::Malformed {
                rejected.reason = Reason::Incomplete;
                rejected.text = format!("the last line has no line end and is not whole: {}", rejected.text);
            }
            self.reject(rejected, reject);
        }
        self.send_all().await?;
        while !self.lane.is_empty() {
            let taken = self.lane.advance().await;
            self.note(taken)?;
        }
        Ok(())
    }

    fn parse(&mut self, line: Line) -> Result<(), Rejected> {
        let Some(text) = line.text else {
            let text = format!("longer than the limit of {} bytes for a transaction", self.limits.max_bytes);
            return Err(Rejected { line: line.number, reason: Reason::TooLarge, text });
        };
        let transaction = Transaction::parse(text, &self.limits).map_err(|error| {
            let reason = if error.too_large { Reason::TooLarge } else { Reason::Malformed };
            Rejected { line: line.number, reason, text: error.to_string() }
        })?;
        self.batch_bytes += transaction.bytes().len();
        self.batch.push(transaction);
        Ok(())
    }

    fn reject(&self, rejected: Rejected, reject: &mut (dyn FnMut(Rejected) + Send)) {
        self.meters.of(self.kind).reject(rejected.reason);
        reject(rejected);
    }

    /// Sends what was parsed on its way, if it may follow what was sent before.
    fn send(&mut self) {
        if !self.batch.is_empty() && self.lane.has_room() && self.refused.is_none() {
            self.batch_bytes = 0;
            self.lane.push(std::mem::take(&mut self.batch));
        }
    }

    /// The same, waiting until it may.
    async fn send_all(&mut self) -> Result<(), Refusal> {
        while !self.lane.has_room() && self.refused.is_none() {
            let taken = self.lane.advance().await;
            let _ = self.note(taken);
        }
        match self.refused.clone() {
            None => self.send(),
            Some(refusal) => {
                self.lose(self.batch.len());
                self.batch.clear();
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn note(&mut self, taken: Result<usize, Refusal>) -> Result<(), Refusal> {
        match taken {
            Ok(taken) => self.meters.of(self.kind).receive(taken),
            Err(refusal) => {
                self.refused = Some(refusal.clone());
                let lost = self.lane.abandon();
                self.lose(lost);
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn lose(&self, transactions: usize) {
        if transactions > 0 {
            let meter = self.meters.of(self.kind);
            meter.lose(transactions as u64);
            // Every connection may have some.
            let Some(folded) = meter.complaints.pass() else { return };
            let input = self.kind.name();
            tracing::error!(input, transactions, folded, "lost: the service went down before they were taken");
        }
    }
}
