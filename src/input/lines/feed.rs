//! From a stream of JSON lines into the intake: what TCP, Unix sockets and standard input share.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

use super::split::{Line, Splitter};
use crate::input::{Kind, Meters, Reason};
use crate::phase::{Intake, Refusal};
use crate::transaction::{Limits, Transaction};

/// Transactions that go to a worker at once, at most.
const BATCH_TRANSACTIONS: usize = 1024;

/// Bytes that go to a worker at once, but for the last transaction's.
const BATCH_BYTES: usize = 1 << 20;

/// What a connection's first read is made for.
const SMALLEST_READ: usize = 16 << 10;

/// A line that was not taken.
#[derive(Debug)]
pub(in crate::input) struct Rejected {
    pub(in crate::input) line: u64,
    pub(in crate::input) reason: Reason,
    pub(in crate::input) text: String,
}

/// Splits, parses and delivers in order. While one batch is on its way to the queues the next is read and parsed;
/// then it waits, which is the back-pressure.
pub(in crate::input) struct Feed {
    intake: Intake,
    limits: Limits,
    meters: Arc<Meters>,
    kind: Kind,
    splitter: Splitter,
    read_size: usize,
    largest_read: usize,
    batch: Vec<Transaction>,
    batch_bytes: usize,
    in_flight: Option<JoinHandle<Result<(), Refusal>>>,
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
            intake,
            limits,
            meters,
            kind,
            splitter: Splitter::new(limits.max_bytes),
            read_size: SMALLEST_READ.min(largest_read),
            largest_read,
            batch: Vec::new(),
            batch_bytes: 0,
            in_flight: None,
        }
    }

    /// How many lines there were so far.
    pub(in crate::input) fn lines(&self) -> u64 {
        self.splitter.lines()
    }

    /// Reads once; 0 at the end of the stream. Loses nothing if it is dropped before it returns.
    pub(in crate::input) async fn read(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        let buffer = self.splitter.buffer();
        if buffer.capacity() - buffer.len() < self.read_size / 2 {
            buffer.reserve(self.read_size);
        }
        let room = buffer.capacity() - buffer.len();
        let read = reader.read_buf(buffer).await?;
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
                self.send().await?;
            }
        }
        self.send().await
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
        self.send().await?;
        self.arrive().await
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

    async fn send(&mut self) -> Result<(), Refusal> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let arrived = self.arrive().await;
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if let Err(refusal) = arrived {
            lose(&self.meters, self.kind, batch.len());
            return Err(refusal);
        }
        let (intake, meters, kind) = (self.intake.clone(), self.meters.clone(), self.kind);
        self.in_flight = Some(tokio::spawn(async move {
            let offered = batch.len();
            let (taken, outcome) = match intake.deliver(batch).await {
                Ok(()) => (offered, Ok(())),
                Err((taken, refusal)) => (taken, Err(refusal)),
            };
            meters.of(kind).receive(taken);
            lose(&meters, kind, offered - taken);
            outcome
        }));
        Ok(())
    }

    async fn arrive(&mut self) -> Result<(), Refusal> {
        match self.in_flight.take() {
            None => Ok(()),
            // The task can only fail by a panic, and then takes nothing more.
            Some(batch) => batch.await.unwrap_or(Err(Refusal::ShuttingDown)),
        }
    }
}

fn lose(meters: &Meters, kind: Kind, transactions: usize) {
    if transactions > 0 {
        meters.of(kind).lose(transactions as u64);
        tracing::error!(input = kind.name(), transactions, "lost: the service went down before they were taken");
    }
}
