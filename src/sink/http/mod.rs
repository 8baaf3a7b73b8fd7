//! Messages as bodies of HTTP requests.
//!
//! A request carries a message, or an array of messages if `queue.max_batch_size` is more than one. A status below 300
//! means that the messages are delivered. Otherwise they are sent again: delivery is at least once.

mod client;
mod concurrent;
mod endpoint;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::Value;

use self::client::Client;
use self::concurrent::ConcurrentSink;
use crate::sink::{Batching, BoxFuture, ConfigError, FailureKind, SendError, Sent, Sink, SinkShared, defaults, parse};
use logphase_net::tls::Identity;

/// The members of a plugin's `config` that the sink uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// The URL to send to; its user information becomes an `Authorization` header.
    pub http_endpoint: String,
    /// The request method.
    #[serde(default = "default_method")]
    pub method: String,
    /// The content type of requests.
    #[serde(default = "default_content_type")]
    pub content_type: String,
    /// Limit on connecting, on sending without progress, and on waiting for the response, in milliseconds.
    #[serde(default = "defaults::timeout")]
    pub timeout: u64,
    /// How long an idle connection is kept, in milliseconds; 0 closes it after each request.
    #[serde(default = "defaults::keepalive")]
    pub keepalive: u64,
    /// Verify the receiver's certificate.
    #[serde(default = "defaults::verify")]
    pub ssl_verify: bool,
    /// Headers to add.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Send arrays, because batches may have more than one message (`queue.max_batch_size`).
    #[serde(default)]
    pub array: bool,
    /// Send many requests of one message at the same time (`queue.concurrency_limit` of -1).
    #[serde(default)]
    pub parallel: bool,
    /// The client certificate for receivers that request one.
    #[serde(default)]
    pub(crate) certificate: Option<Identity>,
}

fn default_method() -> String {
    "POST".to_owned()
}

fn default_content_type() -> String {
    "application/json".to_owned()
}

/// Limit on an array of several messages, in bytes: many servers (like nginx) reject larger bodies by default.
const MAX_ARRAY_BYTES: usize = 1 << 20;

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// Every field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    let config: Config = parse(config)?;
    let client = Client::new(&config, shared)?;
    if config.parallel {
        return Ok(Box::new(ConcurrentSink::new(client, config.array)));
    }
    Ok(Box::new(HttpSink {
        client,
        array: config.array,
        max_messages: usize::MAX,
        rejected_size: MAX_ARRAY_BYTES + 1,
        warning: None,
    }))
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

/// Sends one batch at a time.
///
/// A permanently rejected batch is split in halves and sent again, so that one bad message does not affect the others.
struct HttpSink {
    client: Client,
    array: bool,
    // Limit on the messages of a request: half of the last rejected batch, doubled by each success.
    max_messages: usize,
    // Size of the smallest body that was rejected as too large, in bytes.
    rejected_size: usize,
    warning: Option<String>,
}

impl HttpSink {
    async fn send_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        let mut sent = 0;
        while sent < entries.len() {
            let part = self.next_part(&entries[sent..]);
            match self.client.post(&body(part, self.array)).await {
                Ok(()) => {
                    sent += part.len();
                    self.max_messages = self.max_messages.saturating_mul(2);
                }
                Err(failure) if failure.kind == FailureKind::Permanent && part.len() > 1 => {
                    self.max_messages = part.len() / 2;
                    if failure.too_large {
                        self.rejected_size = array_size(part);
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
        Ok(Sent { warning: self.warning.take(), ..Sent::settled(sent) })
    }

    /// Returns the first entries that fit into one request.
    fn next_part<'a>(&self, entries: &'a [Bytes]) -> &'a [Bytes] {
        let max_messages = if self.array { entries.len().min(self.max_messages) } else { 1 };
        let mut size = 1;
        let fitting = entries[..max_messages].iter().take_while(|entry| {
            size += entry.len() + 1;
            size < self.rejected_size
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
