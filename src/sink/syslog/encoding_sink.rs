//! Encodes entries as syslog messages for another sink, and skips entries below `log_level`.

use std::collections::VecDeque;

use bytes::Bytes;

use super::format::Encoder;
use crate::sink::{BoxFuture, SendError, Sent, Sink};

/// A sink that adds syslog headers to entries and sends them over another sink. Entries below `log_level` are not sent, as
/// in Kong; they settle together with the entries before them.
pub struct EncodingSink {
    encoder: Encoder,
    transport: Box<dyn Sink>,
    settlement: Settlement,
}

impl EncodingSink {
    /// Makes a sink that sends whole syslog messages over `transport`.
    pub fn new(encoder: Encoder, transport: Box<dyn Sink>) -> Self {
        Self { encoder, transport, settlement: Settlement::default() }
    }

    async fn send_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        let mut messages = Vec::with_capacity(entries.len());
        for entry in entries {
            let message = self.encoder.encode(entry);
            self.settlement.push(message.is_some());
            messages.extend(message);
        }
        if messages.is_empty() && !entries.is_empty() {
            // Without messages the transport does not need to connect.
            return Ok(Sent::settled(self.settlement.settle(0)));
        }
        let result = self.transport.send(&messages).await;
        self.translate(result)
    }

    fn translate_error(&mut self, error: SendError) -> SendError {
        let delivered = self.settlement.settle(error.delivered);
        let revoked = self.settlement.revoke(error.revoked);
        SendError { delivered, revoked, ..error }
    }

    /// Converts the transport's message counts to entry counts.
    fn translate(&mut self, result: Result<Sent, SendError>) -> Result<Sent, SendError> {
        match result {
            Ok(sent) => Ok(Sent { settled: self.settlement.settle(sent.settled), ..sent }),
            Err(error) => {
                let error = self.translate_error(error);
                self.settlement.forwarded = VecDeque::new();
                Err(error)
            }
        }
    }
}

impl Sink for EncodingSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(async move {
            let result = self.transport.settle().await;
            self.translate(result)
        })
    }

    fn unconfirmed(&mut self) -> usize {
        self.settlement.confirm(self.transport.unconfirmed())
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async move {
            let result = self.transport.maintain().await;
            result.map_err(|error| self.translate_error(error))
        })
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async move {
            let result = self.transport.close().await;
            result.map_err(|error| self.translate_error(error))
        })
    }

    fn preview(&self, entry: &Bytes) -> Option<Vec<Bytes>> {
        self.encoder.line(entry).map(|line| vec![line])
    }
}

/// The outstanding and the unconfirmed entries, oldest first: whether each was forwarded to the transport or skipped.
#[derive(Debug, Default)]
struct Settlement {
    forwarded: VecDeque<bool>,
    unconfirmed: VecDeque<bool>,
    // How many of the unconfirmed entries were forwarded.
    messages: usize,
}

impl Settlement {
    fn push(&mut self, forwarded: bool) {
        self.forwarded.push_back(forwarded);
    }

    /// Returns how many entries settle when the transport settles `messages` messages.
    fn settle(&mut self, messages: usize) -> usize {
        let (mut left, mut settled) = (messages, 0);
        while let Some(&forwarded) = self.forwarded.front() {
            if forwarded && left == 0 {
                break;
            }
            left -= usize::from(forwarded);
            settled += 1;
            self.forwarded.pop_front();
            self.messages += usize::from(forwarded);
            self.unconfirmed.push_back(forwarded);
        }
        if self.forwarded.is_empty() {
            // Frees the capacity of the largest batch.
            self.forwarded = VecDeque::new();
        }
        settled
    }

    /// Returns how many entries are unconfirmed when the newest `messages` messages are: from the first of these on.
    fn confirm(&mut self, messages: usize) -> usize {
        while let Some(&forwarded) = self.unconfirmed.front() {
            if forwarded && self.messages <= messages {
                break;
            }
            self.messages -= usize::from(forwarded);
            self.unconfirmed.pop_front();
        }
        if self.unconfirmed.is_empty() {
            self.unconfirmed = VecDeque::new();
        }
        self.unconfirmed.len()
    }

    /// Takes back the newest `messages` unconfirmed messages; returns how many entries these are, with those between them.
    fn revoke(&mut self, messages: usize) -> usize {
        let (mut left, mut revoked) = (messages, 0);
        while left > 0 {
            let Some(forwarded) = self.unconfirmed.pop_back() else { break };
            left -= usize::from(forwarded);
            self.messages -= usize::from(forwarded);
            revoked += 1;
        }
        revoked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: entries of both kinds, settled message by message.
    /// Guarantees: skipped entries settle together with those before them, and no sooner.
    #[test]
    fn entries_settle_in_order() {
        let mut settlement = Settlement::default();
        for forwarded in [false, true, false, false, true, true, false] {
            settlement.push(forwarded);
        }
        assert_eq!(settlement.settle(0), 1);
        assert_eq!(settlement.settle(0), 0);
        assert_eq!(settlement.settle(1), 3);
        assert_eq!(settlement.settle(2), 3);
        assert!(settlement.forwarded.is_empty());
        settlement.push(false);
        assert_eq!(settlement.settle(0), 1);
    }

    /// Scenario: settled entries of both kinds, whose messages are confirmed one by one; then some are revoked.
    /// Guarantees: skipped entries are confirmed with the message before them, and revoked with the one before them.
    #[test]
    fn entries_are_confirmed_in_order() {
        let mut settlement = Settlement::default();
        for forwarded in [false, true, false, false, true, true, false] {
            settlement.push(forwarded);
        }
        assert_eq!(settlement.settle(3), 7);
        assert_eq!([3, 2, 2].map(|messages| settlement.confirm(messages)), [6, 3, 3]);
        assert_eq!(settlement.revoke(1), 2);
        assert_eq!((settlement.confirm(1), settlement.confirm(0)), (1, 0));
        assert_eq!((settlement.revoke(1), settlement.unconfirmed.len()), (0, 0));
    }
}
