//! Metrics of messages, for servers that speak StatsD.
//!
//! The queue holds the whole message, as it does for every plugin; the metrics are made of it when it is sent, as Kong makes them
//! in the handler of its queue. Nothing confirms a metric that goes over UDP.

pub mod datadog;
mod kong;
mod line;
mod message;
mod sink;
mod tags;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use self::kong::{Config, Metrics};
use self::line::Lines;
use self::message::Message;
use self::sink::MetricSink;
use crate::sink::rewrite::{Rewrite, RewritingSink};
use crate::sink::tcp::{Config as TcpConfig, Framing, TcpSink};
use crate::sink::udp::UdpSink;
use crate::sink::{Opened, SinkShared, defaults, parse};

/// How long connecting and sending over TCP may take, in milliseconds: Kong's limit.
const TCP_TIMEOUT: u64 = 1000;
/// What to do about a metric that is larger than a datagram.
const ADVICE: &str = "a name in it has more than 60 KB; shorten it, or set config.use_tcp";

/// Makes the metrics of a message.
trait Render: Send + Sync {
    /// Adds a line for each metric of `message`.
    fn render(&self, message: &Message<'_>, lines: &mut Lines);
}

/// The lines of an entry. What is no message has none.
fn add_lines(render: &dyn Render, entry: &[u8], lines: &mut Lines) {
    if let Some(message) = Message::parse(entry) {
        render.render(&message, lines);
    }
}

/// Makes the sink of the plugin statsd from its `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// Every field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Opened {
    let config: Config = parse(config)?;
    let errors = config.errors();
    if !errors.is_empty() {
        return Err(errors);
    }
    let (host, port, packet_size) = (config.host.clone(), config.port, config.packet_size());
    let (use_tcp, render) = (config.use_tcp, Arc::new(Metrics::new(config)));
    if !use_tcp {
        let udp = UdpSink::dropping(host, port, defaults::timeout(), ADVICE, shared);
        return Ok(Box::new(MetricSink::new(render, udp, packet_size)));
    }
    let tcp = TcpConfig::plain(host, port, TCP_TIMEOUT);
    // The lines have their ends already, and an entry can have none.
    let sink = TcpSink::framed(tcp, Framing::Terminated(b""), shared)?;
    Ok(Box::new(RewritingSink { rewrite: TcpLines(render), sink: Box::new(sink) }))
}

/// The lines of each message, each with its end.
struct TcpLines(Arc<Metrics>);

impl Rewrite for TcpLines {
    fn rewrite(&self, message: &Bytes) -> Bytes {
        let mut lines = Lines::default();
        add_lines(&*self.0, message, &mut lines);
        lines.into_text()
    }

    fn preview(&self, message: &Bytes) -> Vec<Bytes> {
        let mut lines = Lines::default();
        add_lines(&*self.0, message, &mut lines);
        lines.packets(0, 0).into_iter().map(|packet| packet.bytes).collect()
    }
}

#[cfg(test)]
mod tests;
