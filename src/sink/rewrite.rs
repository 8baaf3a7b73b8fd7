//! A sink that sends something else in the place of each message, over another sink.

use bytes::Bytes;

use crate::sink::{Batching, BoxFuture, SendError, Sent, Sink};

/// What is sent in the place of a message.
pub(super) trait Rewrite: Send {
    /// The bytes to send.
    fn rewrite(&self, message: &Bytes) -> Bytes;

    /// The same for people, by lines or datagrams.
    fn preview(&self, message: &Bytes) -> Vec<Bytes>;
}

/// Sends what `rewrite` makes of each entry over `sink`, one for one.
pub(super) struct RewritingSink<R> {
    pub rewrite: R,
    pub sink: Box<dyn Sink>,
}

impl<R: Rewrite> Sink for RewritingSink<R> {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        // Made before the future, so that a rewriter need not be shared between threads.
        let rewritten: Vec<_> = entries.iter().map(|entry| self.rewrite.rewrite(entry)).collect();
        let sink = &mut self.sink;
        Box::pin(async move { sink.send(&rewritten).await })
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        self.sink.settle()
    }

    fn unconfirmed(&mut self) -> usize {
        self.sink.unconfirmed()
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        self.sink.maintain()
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        self.sink.close()
    }

    fn window(&self) -> usize {
        self.sink.window()
    }

    fn batching(&self) -> Batching {
        self.sink.batching()
    }

    fn preview(&self, entry: &Bytes) -> Option<Vec<Bytes>> {
        Some(self.rewrite.preview(entry))
    }
}
