//! Entries on their way as syslog messages: some are passed over, the others go by a carrier.

use std::collections::VecDeque;

use bytes::Bytes;

use super::format::Encoder;
use crate::sink::{BoxFuture, SendError, Sent, Sink};

/// A sink that puts headers before entries and hands them to another sink. Entries below `log_level` are not sent, as
/// in Kong; they count as delivered together with those before them.
pub struct Relay {
    encoder: Encoder,
    carrier: Box<dyn Sink>,
    ledger: Ledger,
}

impl Relay {
    /// By way of `carrier`, which takes whole syslog messages.
    pub fn new(encoder: Encoder, carrier: Box<dyn Sink>) -> Self {
        Self { encoder, carrier, ledger: Ledger::default() }
    }

    async fn send_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        let mut messages = Vec::with_capacity(entries.len());
        for entry in entries {
            let message = self.encoder.encode(entry);
            self.ledger.push(message.is_some());
            messages.extend(message);
        }
        if messages.is_empty() && !entries.is_empty() {
            // Nothing that the carrier would have to connect for.
            return Ok(Sent::settled(self.ledger.settle(0)));
        }
        let result = self.carrier.send(&messages).await;
        self.account(result)
    }

    /// What the carrier says of messages, said of entries.
    fn account(&mut self, result: Result<Sent, SendError>) -> Result<Sent, SendError> {
        match result {
            Ok(sent) => Ok(Sent { settled: self.ledger.settle(sent.settled), ..sent }),
            Err(error) => {
                let delivered = self.ledger.settle(error.delivered);
                self.ledger = Ledger::default();
                Err(SendError { delivered, ..error })
            }
        }
    }
}

impl Sink for Relay {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(async move {
            let result = self.carrier.settle().await;
            self.account(result)
        })
    }

    fn maintain(&mut self) -> BoxFuture<'_, ()> {
        self.carrier.maintain()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.carrier.close()
    }
}

/// The outstanding entries, oldest first: whether each went to the carrier or was passed over.
#[derive(Debug, Default)]
struct Ledger {
    carried: VecDeque<bool>,
}

impl Ledger {
    fn push(&mut self, carried: bool) {
        self.carried.push_back(carried);
    }

    /// How many entries are done with when the carrier has settled `messages` more.
    fn settle(&mut self, messages: usize) -> usize {
        let (mut left, mut settled) = (messages, 0);
        while let Some(&carried) = self.carried.front() {
            if carried && left == 0 {
                break;
            }
            left -= usize::from(carried);
            settled += 1;
            self.carried.pop_front();
        }
        if self.carried.is_empty() {
            // Room for the largest batch is not kept.
            self.carried = VecDeque::new();
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: entries of both kinds, settled message by message.
    /// Guarantees: those passed over are done with as soon as those before them are, and none sooner.
    #[test]
    fn entries_settle_in_order() {
        let mut ledger = Ledger::default();
        for carried in [false, true, false, false, true, true, false] {
            ledger.push(carried);
        }
        assert_eq!(ledger.settle(0), 1);
        assert_eq!(ledger.settle(0), 0);
        assert_eq!(ledger.settle(1), 3);
        assert_eq!(ledger.settle(2), 3);
        assert!(ledger.carried.is_empty());
        ledger.push(false);
        assert_eq!(ledger.settle(0), 1);
    }
}
