//! One request at a time, with as many entries as the receiver takes.

use bytes::Bytes;

use super::Post;
use crate::sink::{Batching, BoxFuture, FailureKind, SendError, Sent, Sink};

/// Limit on the entries of a request with several, in bytes: many servers (like nginx) reject larger bodies by default.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Sends one batch at a time.
///
/// A permanently rejected batch is split in halves and sent again, so that one bad message does not affect the others.
pub struct BatchSink<P> {
    post: P,
    // Limit on the messages of a request: half of the last rejected batch, doubled by each success.
    max_messages: usize,
    // Bytes of the entries of the smallest request that was rejected as too large.
    rejected_size: usize,
    lost: u64,
    warning: Option<String>,
}

fn size(entries: &[Bytes]) -> usize {
    entries.iter().map(|entry| entry.len() + 1).sum::<usize>() + 1
}

impl<P: Post> BatchSink<P> {
    pub fn new(post: P) -> Self {
        Self { post, max_messages: usize::MAX, rejected_size: MAX_REQUEST_BYTES + 1, lost: 0, warning: None }
    }

    async fn send_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        let mut sent = 0;
        while sent < entries.len() {
            let part = self.next_part(&entries[sent..]);
            match self.post.post(part).await {
                Ok(posted) => {
                    sent += part.len();
                    self.max_messages = self.max_messages.saturating_mul(2);
                    self.lost += posted.lost;
                    self.warning = posted.warning.or(self.warning.take());
                }
                Err(failure) if failure.kind == FailureKind::Permanent && part.len() > 1 => {
                    self.max_messages = part.len() / 2;
                    if failure.too_large {
                        self.rejected_size = size(part);
                    }
                    let count = part.len();
                    self.warning = Some(format!(
                        "{}; a batch of {count} messages is sent in parts: see config.queue.max_batch_size",
                        failure.message
                    ));
                }
                Err(failure) => return Err(failure.after(sent)),
            }
        }
        Ok(Sent { settled: sent, lost: std::mem::take(&mut self.lost), warning: self.warning.take() })
    }

    /// Returns the first entries that fit into one request.
    fn next_part<'a>(&self, entries: &'a [Bytes]) -> &'a [Bytes] {
        let max_messages = if self.post.takes_several() { entries.len().min(self.max_messages) } else { 1 };
        let mut size = 1;
        let fitting = entries[..max_messages].iter().take_while(|entry| {
            size += entry.len() + 1;
            size < self.rejected_size
        });
        &entries[..fitting.count().max(1)]
    }
}

impl<P: Post> Sink for BatchSink<P> {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn batching(&self) -> Batching {
        Batching::Batches
    }
}
