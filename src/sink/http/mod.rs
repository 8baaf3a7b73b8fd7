//! Messages as bodies of HTTP requests.
//!
//! A request carries a message, or an array of messages if `queue.max_batch_size` is more than one. A status below 300
//! means that the messages are delivered. Otherwise they are sent again: delivery is at least once.

mod client;
pub(super) mod endpoint;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::Value;

use self::client::Client;
use self::endpoint::EndpointConfig;
use crate::sink::requests::{self, Failure, Post, Posted};
use crate::sink::{BoxFuture, ConfigError, Sink, SinkShared, defaults, parse};
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

impl Config {
    /// Where requests go, and what all of them have.
    fn endpoint(&self) -> EndpointConfig<'_> {
        EndpointConfig {
            field: "http_endpoint",
            url: &self.http_endpoint,
            method: &self.method,
            content_type: &self.content_type,
            headers: &self.headers,
        }
    }
}

fn default_method() -> String {
    "POST".to_owned()
}

fn default_content_type() -> String {
    "application/json".to_owned()
}

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// Every field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    let config: Config = parse(config)?;
    let client = Client::new(&config, shared)?;
    Ok(requests::sink(Poster { client, array: config.array }, config.parallel))
}

/// The body of a request with `entries`.
fn body(entries: &[Bytes], array: bool) -> Bytes {
    if let ([entry], false) = (entries, array) {
        return entry.clone();
    }
    let mut body = BytesMut::with_capacity(entries.iter().map(|entry| entry.len() + 1).sum::<usize>() + 1);
    for (index, entry) in entries.iter().enumerate() {
        body.extend_from_slice(if index == 0 { b"[" } else { b"," });
        body.extend_from_slice(entry);
    }
    body.extend_from_slice(b"]");
    body.freeze()
}

/// Posts entries to an HTTP server.
struct Poster {
    client: Client,
    array: bool,
}

impl Post for Poster {
    fn post<'a>(&'a self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Posted, Failure>> {
        Box::pin(async move { self.client.post(&body(entries, self.array)).await.map(|()| Posted::default()) })
    }

    fn takes_several(&self) -> bool {
        self.array
    }
}

#[cfg(test)]
mod tests;
