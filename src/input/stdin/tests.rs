//! Reading JSON lines to the end.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::*;
use crate::decode::kong::Format;
use crate::input::tests::harness::{Behavior, FakeWorker, hostile, transaction};

fn decoder() -> TextDecoder {
    TextDecoder::kong(Format::Object, logphase_script::transaction::Limits::default())
}

/// Scenario: good lines, two bad ones, an empty one, and a last good one without an end.
/// Guarantees: the summary has the bad lines with number and reason; the good ones are taken in order.
#[tokio::test]
async fn summary() {
    let (worker, intake) = FakeWorker::start();
    let text = "{\"a\":1}\nnope\n\n{\"b\":2}\n[1]\n{\"c\":3}";
    let mut last = Progress::default();
    let summary = read_lines(text.as_bytes(), intake, decoder(), |progress| last = *progress).await;
    assert_eq!(worker.taken(), [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]);
    let lines: Vec<u64> = summary.rejected.iter().map(|rejected| rejected.line).collect();
    assert_eq!((summary.lines, summary.accepted, summary.rejected_total), (6, 3, 2));
    assert_eq!(lines, [2, 5]);
    assert!(summary.rejected.iter().all(|rejected| rejected.reason.contains("at byte")));
    assert!(!summary.is_complete());
    assert_eq!(last, Progress { bytes: text.len() as u64, lines: 6, accepted: 3, rejected: 2 });
}

/// Scenario: 50,000 lines into queues that are full at first.
/// Guarantees: all are taken, in order, and the summary is complete.
#[tokio::test]
async fn in_order_through_full_queues() {
    const COUNT: usize = 50_000;
    let (worker, intake) = FakeWorker::start();
    worker.set(Behavior::Room(10));
    let text: String = (0..COUNT).map(|i| transaction(i) + "\n").collect();
    let reading = tokio::spawn(async move { read_lines(text.as_bytes(), intake, decoder(), |_| {}).await });
    worker.wait_for(10).await;
    worker.set(Behavior::Take);
    let summary = reading.await.unwrap();
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!(summary.accepted, COUNT as u64);
    assert!(worker.taken().iter().enumerate().all(|(i, one)| *one == transaction(i)));
}

/// Scenario: more bad lines than the summary keeps.
/// Guarantees: the list is capped, the total is not.
#[tokio::test]
async fn many_bad_lines() {
    let (worker, intake) = FakeWorker::start();
    let mut text = hostile().join(&b'\n');
    text.extend_from_slice(b"\n{}\n");
    let bad = hostile().len() as u64;
    let summary = read_lines(&text[..], intake, decoder(), |_| {}).await;
    assert_eq!(worker.taken(), ["{}"]);
    assert_eq!((summary.rejected.len(), summary.rejected_total), (KEPT_REJECTIONS, bad));
}

/// A reader that fails after its first bytes.
struct Failing(Option<&'static [u8]>);

impl AsyncRead for Failing {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let bytes = self.0.take().ok_or_else(|| io::Error::other("torn"))?;
        buffer.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

/// Scenario: the reader fails; the service shuts down while reading.
/// Guarantees: what was read before is taken or counted as lost, and the summary has the reason.
#[tokio::test]
async fn ends_early() {
    let (worker, intake) = FakeWorker::start();
    let summary = read_lines(Failing(Some(b"{}\n")), intake.clone(), decoder(), |_| {}).await;
    assert_eq!((summary.accepted, worker.taken().len()), (1, 1));
    assert_eq!(summary.error.as_ref().map(ToString::to_string).as_deref(), Some("torn"));
    assert!(!summary.is_complete());

    intake.close();
    let summary = read_lines(&b"{}\n{}\n"[..], intake, decoder(), |_| {}).await;
    assert_eq!((summary.accepted, summary.lost), (0, 2));
    assert_eq!(summary.refusal, Some(IntakeError::ShuttingDown));
}
