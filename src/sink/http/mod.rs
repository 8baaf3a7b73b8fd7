//! The sink of http-log.
//!
//! A request carries a message, or an array of messages if `queue.max_batch_size` is more than one. What the receiver
//! answers with a status below 300 is delivered. Anything else is sent again: at least once.

mod parallel;
mod post;
mod target;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use self::parallel::Parallel;
use self::post::Poster;
use crate::sink::{Batching, BoxFuture, FailureKind, OpenError, SendError, Sent, Sink, SinkShared, defaults};
use logphase_net::tls::Identity;

/// The plugin's name in Kong.
pub const NAME: &str = "http-log";

/// What the sink needs of http-log's `config`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Where to send to; user information in it becomes an `Authorization` header.
    pub http_endpoint: String,
    /// The requests' method.
    #[serde(default = "default_method")]
    pub method: String,
    /// The requests' content type.
    #[serde(default = "default_content_type")]
    pub content_type: String,
    /// Milliseconds for connecting, for any progress in sending, and for the answer.
    #[serde(default = "defaults::timeout")]
    pub timeout: u64,
    /// Milliseconds that an idle connection is kept; 0: none is.
    #[serde(default = "defaults::keepalive")]
    pub keepalive: u64,
    /// Verify the receiver's certificate.
    #[serde(default = "defaults::verify")]
    pub ssl_verify: bool,
    /// Headers to add.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Send arrays: batches are of more than one (`queue.max_batch_size`).
    #[serde(default)]
    pub array: bool,
    /// Send many requests of one message at the same time (`queue.concurrency_limit` of -1).
    #[serde(default)]
    pub parallel: bool,
    /// The certificate to show to receivers that ask for one.
    #[serde(default)]
    pub(crate) certificate: Option<Identity>,
}

fn default_method() -> String {
    "POST".to_owned()
}

fn default_content_type() -> String {
    "application/json".to_owned()
}

/// Bytes of an array of several messages, at most: many servers (nginx for one) take no more if not told otherwise.
const LARGEST_ARRAY: usize = 1 << 20;

/// Opens the sink for `config`. It connects when the first message comes.
pub fn open(config: &Config, shared: &SinkShared) -> Result<Box<dyn Sink>, OpenError> {
    let poster = Poster::open(config, shared)?;
    if config.parallel {
        return Ok(Box::new(Parallel::new(poster, config.array)));
    }
    Ok(Box::new(HttpSink { poster, array: config.array, most: usize::MAX, below: LARGEST_ARRAY + 1, warning: None }))
}

/// The body of a request with `entries`.
pub(super) fn body(entries: &[Bytes], array: bool) -> Bytes {
    if let ([entry], false) = (entries, array) {
        return entry.clone();
    }
    let mut body = BytesMut::with_capacity(array_size(entries));
    for (index, entry) in entries.iter().enumerate() {
        body.extend_from_slice(if index == 0 { b"[" } else { b"," });
        body.extend_from_slice(entry);
    }
    body.extend_from_slice(b"]");
    body.freeze()
}

fn array_size(entries: &[Bytes]) -> usize {
    entries.iter().map(|entry| entry.len() + 1).sum::<usize>() + 1
}

/// Sends batch after batch.
///
/// A batch that the receiver refuses for good is sent again in halves, so that one bad message takes no other with it.
struct HttpSink {
    poster: Poster,
    array: bool,
    // Messages per request that the receiver is thought to take: half of what it has refused, doubled by each success.
    most: usize,
    // It has refused a body of that many bytes for its size.
    below: usize,
    // What the operator is still to be told.
    warning: Option<String>,
}

impl HttpSink {
    async fn send_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        let mut sent = 0;
        while sent < entries.len() {
            let part = self.next_part(&entries[sent..]);
            match self.poster.post(&body(part, self.array)).await {
                Ok(()) => {
                    sent += part.len();
                    self.most = self.most.saturating_mul(2);
                }
                Err(failure) if failure.kind == FailureKind::Permanent && part.len() > 1 => {
                    self.most = part.len() / 2;
                    if failure.too_large {
                        self.below = array_size(part);
                    }
                    let many = part.len();
                    self.warning = Some(format!(
                        "{}; a batch of {many} messages is sent in parts: see config.queue.max_batch_size",
                        failure.message
                    ));
                }
                Err(failure) => return Err(failure.after(sent)),
            }
        }
        Ok(Sent { warning: self.warning.take(), ..Sent::settled(sent) })
    }

    /// As many of the first entries as one request may carry.
    fn next_part<'a>(&self, entries: &'a [Bytes]) -> &'a [Bytes] {
        let most = if self.array { entries.len().min(self.most) } else { 1 };
        let mut size = 1;
        let fitting = entries[..most].iter().take_while(|entry| {
            size += entry.len() + 1;
            size < self.below
        });
        &entries[..fitting.count().max(1)]
    }
}

impl Sink for HttpSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn batching(&self) -> Batching {
        Batching::Batches
    }
}

#[cfg(test)]
mod tests;
