//! Transactions that no plugin logs: counted, and told in the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::fit::Unlogged;
use super::identity;
use crate::log::limit::{Limiter, Policy};
use logphase_io::printable;
use logphase_script::transaction::Transaction;

/// A configuration may leave some routes without plugins on purpose, so that a line is rare.
const POLICY: Policy =
    Policy { lines: 1, period: Duration::from_secs(600), other_message_after: Duration::from_secs(600) };

/// Transactions that no plugin logs, by reason.
#[derive(Debug)]
pub struct UnloggedCounts([Reason; Unlogged::ALL.len()]);

#[derive(Debug)]
struct Reason {
    count: AtomicU64,
    lines: Limiter,
}

impl Default for UnloggedCounts {
    fn default() -> Self {
        Self(Unlogged::ALL.map(|_| Reason { count: AtomicU64::new(0), lines: Limiter::new(POLICY) }))
    }
}

impl UnloggedCounts {
    /// How many there were of each reason.
    pub fn counts(&self) -> impl Iterator<Item = (Unlogged, u64)> {
        Unlogged::ALL.into_iter().zip(&self.0).map(|(reason, counted)| (reason, counted.count.load(Ordering::Relaxed)))
    }

    /// Counts a transaction, and logs a line from time to time.
    #[cold]
    pub(super) fn add(&self, reason: Unlogged, transaction: &Transaction) {
        let Reason { count, lines } = &self.0[reason as usize];
        count.fetch_add(1, Ordering::Relaxed);
        let Some(transactions) = lines.add(1) else { return };
        let text = reason.text();
        let last = described(transaction);
        let hint = "`logphase try --why` explains it for a transaction";
        match reason {
            Unlogged::NoPlugin => tracing::warn!(transactions, "transactions that no plugin logs: {text}"),
            _ => {
                tracing::info!(transactions, "transactions that no plugin logs: {text} (the last one: {last}); {hint}")
            }
        }
    }
}

/// What plugins are chosen by.
fn described(transaction: &Transaction) -> String {
    let entities = [("route", "name"), ("service", "name"), ("consumer", "username")];
    let named = entities.map(|(kind, name)| {
        let [id, name] = identity::names(transaction, kind, name);
        match name.or(id) {
            Some(found) => format!("{kind} `{}`", printable::line(&found)),
            None => format!("no {kind}"),
        }
    });
    named.join(", ")
}
