//! JSON lines from standard input, or from any other reader that ends.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncRead;

use super::Counters;
use super::lines::{LineReader, Rejected};
use crate::decode::TextDecoder;
use crate::phase::{Intake, IntakeError};

/// The name in logs.
const NAME: &str = "stdin";

/// Bytes of one read, at most.
const MAX_READ_BYTES: usize = 1 << 20;

/// Rejected lines that are kept for the summary; the others are only counted.
const KEPT_REJECTIONS: usize = 100;

/// What was read so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub bytes: u64,
    /// Lines read, empty ones included.
    pub lines: u64,
    /// Transactions whose entries are all in their queues.
    pub accepted: u64,
    /// Lines that are not a transaction.
    pub rejected: u64,
}

/// A line that is not a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedLine {
    /// Counted from 1.
    pub line: u64,
    /// Why, with the offset in bytes from the line's start.
    pub reason: String,
}

/// The result of reading to the end.
#[derive(Debug, Default)]
pub struct StdinSummary {
    /// Bytes read.
    pub bytes: u64,
    /// Lines read, empty ones included.
    pub lines: u64,
    /// Transactions whose entries are all in their queues.
    pub accepted: u64,
    /// The first hundred lines that were rejected.
    pub rejected: Vec<RejectedLine>,
    /// The number of all that were rejected.
    pub rejected_total: u64,
    /// Valid transactions that were read but not taken, because the service shut down.
    pub lost: u64,
    /// The error that ended the reading early, if the reader failed.
    pub error: Option<io::Error>,
    /// The refusal that ended the reading early, if the service shut down.
    pub refusal: Option<IntakeError>,
}

impl StdinSummary {
    /// Whether every line was read and taken.
    pub fn is_complete(&self) -> bool {
        self.rejected_total == 0 && self.lost == 0 && self.error.is_none() && self.refusal.is_none()
    }
}

/// Reads JSON lines to the end of `reader`, decodes them by `decoder` and hands them to `intake` in order, waiting while the queues are full. Calls
/// `progress` after each read. Returns when the entries of every transaction are in their queues (not yet delivered). To
/// stop early, let `reader` end or close the intake.
pub async fn read_lines<R: AsyncRead + Unpin>(
    mut reader: R,
    intake: Intake,
    decoder: TextDecoder,
    mut progress: impl FnMut(&Progress),
) -> StdinSummary {
    let counters = Arc::new(Counters::default());
    let mut lines = LineReader::new(NAME, intake, counters.clone(), decoder, MAX_READ_BYTES);
    let mut summary = StdinSummary::default();
    let mut rejections = Vec::new();
    let mut rejected_total = 0;
    let mut on_reject = |Rejected { line, message, .. }: Rejected| {
        rejected_total += 1;
        if rejections.len() < KEPT_REJECTIONS {
            rejections.push(RejectedLine { line, reason: message });
        }
    };
    let mut report = |lines| {
        let (bytes, accepted) = (counters.bytes(), counters.received());
        progress(&Progress { bytes, lines, accepted, rejected: counters.rejected_total() });
    };
    loop {
        match lines.read(&mut reader).await {
            Ok(0) => break,
            Ok(_) => summary.refusal = lines.process(&mut on_reject).await.err(),
            Err(error) => summary.error = Some(error),
        }
        if summary.refusal.is_some() || summary.error.is_some() {
            break;
        }
        report(lines.lines());
    }
    let finished = lines.finish(&mut on_reject).await;
    summary.refusal = summary.refusal.or(finished.err());
    report(lines.lines());
    summary.bytes = counters.bytes();
    summary.lines = lines.lines();
    summary.accepted = counters.received();
    summary.lost = counters.lost();
    summary.rejected = rejections;
    summary.rejected_total = rejected_total;
    summary
}

#[cfg(test)]
mod tests;
