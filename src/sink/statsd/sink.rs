//! Metrics over UDP: a datagram for each, or for as many as fit.

use std::sync::Arc;

use bytes::Bytes;

use super::line::{Lines, Packet};
use super::{Render, add_lines};
use crate::sink::udp::UdpSink;
use crate::sink::{Batching, BoxFuture, SendError, Sent, Sink};

/// Sends the metrics of entries as datagrams. An entry is delivered when all of its datagrams are sent; after an error, what was
/// sent of an entry is not sent again, so that the server counts it once.
pub(super) struct MetricSink {
    render: Arc<dyn Render>,
    udp: UdpSink,
    /// The most bytes of a datagram with several metrics; 0 for one metric each.
    packet_size: usize,
    /// An entry that was not sent whole, and how many of its lines were.
    partial: Option<(Bytes, usize)>,
}

impl MetricSink {
    /// A sink that sends what `render` makes over `udp`.
    pub fn new(render: Arc<dyn Render>, udp: UdpSink, packet_size: usize) -> Self {
        Self { render, udp, packet_size, partial: None }
    }

    /// The lines of `entries`, and for each entry how many lines there are up to its end.
    fn lines(&self, entries: &[Bytes]) -> (Lines, Vec<usize>) {
        let mut lines = Lines::default();
        let ends = entries.iter().map(|entry| {
            add_lines(&*self.render, entry, &mut lines);
            lines.count()
        });
        let ends = ends.collect();
        (lines, ends)
    }

    async fn send_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        let (lines, ends) = self.lines(entries);
        let partial = self.partial.take().filter(|(entry, _)| entries.first() == Some(entry));
        let done = partial.map_or(0, |(_, lines)| lines);
        let packets = lines.packets(done, self.packet_size);
        let datagrams: Vec<_> = packets.iter().map(|Packet { bytes, .. }| bytes.clone()).collect();
        match self.udp.send(&datagrams).await {
            Ok(sent) => {
                // Which entries a lost datagram belongs to is not known.
                let lost = (sent.lost * entries.len() as u64).div_ceil(datagrams.len().max(1) as u64);
                Ok(Sent { settled: entries.len(), lost: lost.min(entries.len() as u64), ..sent })
            }
            Err(error) => {
                let done = error.delivered.checked_sub(1).map_or(done, |last| packets[last].lines);
                let delivered = ends.partition_point(|end| *end <= done);
                let of_next = done - delivered.checked_sub(1).map_or(0, |last| ends[last]);
                self.partial = entries.get(delivered).filter(|_| of_next > 0).map(|entry| (entry.clone(), of_next));
                Err(SendError { delivered, ..error })
            }
        }
    }
}

impl Sink for MetricSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    /// Datagrams with several metrics hold those of one batch, as in Kong.
    fn batching(&self) -> Batching {
        if self.packet_size > 0 { Batching::Batches } else { Batching::Stream }
    }

    fn preview(&self, entry: &Bytes) -> Option<Vec<Bytes>> {
        let (lines, _) = self.lines(std::slice::from_ref(entry));
        Some(lines.packets(0, self.packet_size).into_iter().map(|packet| packet.bytes).collect())
    }
}
