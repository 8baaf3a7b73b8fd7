//! JSON lines from standard input, or from any other reader that ends.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncRead;

use super::lines::{Feed, Rejected};
use super::{Kind, Meters};
use crate::phase::{Intake, Refusal};
use logphase_script::transaction::Limits;

/// Bytes of one read.
const LARGEST_READ: usize = 1 << 20;

/// Rejected lines that are kept for the summary; the rest are only counted.
const KEPT_REJECTIONS: usize = 100;

/// How far the reading is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub bytes: u64,
    /// Lines read, empty ones included.
    pub lines: u64,
    /// Transactions whose entries are all in their queues.
    pub accepted: u64,
    /// Lines that are no transaction.
    pub rejected: u64,
}

/// A line that is no transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedLine {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong with it, with the offset in bytes from the line's start.
    pub reason: String,
}

/// What became of the lines.
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
    /// How many were rejected in all.
    pub rejected_total: u64,
    /// Sound transactions that were read but not taken, because the service went down.
    pub lost: u64,
    /// Why the reading ended before the end, if the reader failed.
    pub error: Option<io::Error>,
    /// Why the reading ended before the end, if the service went down.
    pub refusal: Option<Refusal>,
}

impl StdinSummary {
    /// Whether every line was read and taken.
    pub fn is_complete(&self) -> bool {
        self.rejected_total == 0 && self.lost == 0 && self.error.is_none() && self.refusal.is_none()
    }
}

/// Reads JSON lines to the end of `reader` and delivers them in order, waiting while the queues are full. Calls
/// `progress` after each read. Returns when the entries of every transaction are in their queues (not yet
/// delivered). To stop early, let `reader` end or close the intake.
pub async fn read_lines<R: AsyncRead + Unpin>(
    mut reader: R,
    intake: Intake,
    limits: &Limits,
    mut progress: impl FnMut(&Progress),
) -> StdinSummary {
    let meters = Arc::new(Meters::default());
    let meter = meters.of(Kind::Stdin);
    let mut feed = Feed::new(intake, *limits, meters.clone(), Kind::Stdin, LARGEST_READ);
    let mut summary = StdinSummary::default();
    let mut rejections = Vec::new();
    let mut rejected_total = 0;
    let mut reject = |Rejected { line, text, .. }: Rejected| {
        rejected_total += 1;
        if rejections.len() < KEPT_REJECTIONS {
            rejections.push(RejectedLine { line, reason: text });
        }
    };
    let mut report = |lines| {
        let rejected = super::Reason::ALL.iter().map(|reason| meter.rejected(*reason)).sum();
        progress(&Progress { bytes: meter.bytes(), lines, accepted: meter.received(), rejected });
    };
    loop {
        match feed.read(&mut reader).await {
            Ok(0) => break,
            Ok(_) => summary.refusal = feed.take(&mut reject).await.err(),
            Err(error) => summary.error = Some(error),
        }
        if summary.refusal.is_some() || summary.error.is_some() {
            break;
        }
        report(feed.lines());
    }
    let finished = feed.finish(&mut reject).await;
    summary.refusal = summary.refusal.or(finished.err());
    report(feed.lines());
    summary.bytes = meter.bytes();
    summary.lines = feed.lines();
    summary.accepted = meter.received();
    summary.lost = meter.lost();
    summary.rejected = rejections;
    summary.rejected_total = rejected_total;
    summary
}

#[cfg(test)]
mod tests;
