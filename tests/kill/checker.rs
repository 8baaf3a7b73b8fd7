//! Checks the delivery from outside of the process: compares the sent and the acknowledged transactions with the received
//! messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::service::{Sent, id_of, transaction};

/// The senders' view.
pub struct Checker {
    /// Answered with 200: must arrive.
    answered: BTreeSet<u64>,
    /// Sent at all: may arrive.
    sent: BTreeSet<u64>,
}

/// The result for one sink.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Answered with 200 but not delivered.
    pub missing: Vec<u64>,
    /// Delivered but never sent.
    pub unknown: Vec<u64>,
    /// Delivered with different content.
    pub changed: Vec<String>,
    /// Arrived for the first time after a message that its sender had sent later.
    pub disordered: Vec<u64>,
    /// Number of messages that arrived more than once, which is allowed.
    pub duplicates: usize,
    /// Number of messages that arrived.
    pub arrived: usize,
    /// Number of messages answered with 200.
    pub answered: usize,
}

/// A transaction as it must arrive: as sent, with its credentials redacted.
fn delivered(id: u64) -> Value {
    let mut message = transaction(id);
    message["request"]["headers"]["authorization"] = "REDACTED".into();
    message
}

impl Checker {
    /// A checker for what these senders sent.
    pub fn of(sent: &Sent) -> Self {
        let refused = sent.refused.iter().map(|(id, _)| *id);
        let all = sent.accepted.iter().chain(&sent.unanswered).copied().chain(refused);
        Self { answered: sent.accepted.clone(), sent: all.collect() }
    }

    /// Checks the messages of one sink, in order of arrival.
    pub fn check(&self, messages: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Verdict {
        let mut verdict = Verdict { answered: self.answered.len(), ..Verdict::default() };
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for message in messages {
            let text = message.as_ref();
            let parsed: Option<Value> = serde_json::from_slice(text).ok();
            let Some((id, message)) = parsed.and_then(|message| Some((id_of(&message)?, message))) else {
                verdict.changed.push(String::from_utf8_lossy(text).into_owned());
                continue;
            };
            if !self.sent.contains(&id) {
                verdict.unknown.push(id);
            } else if message != delivered(id) {
                verdict.changed.push(message.to_string());
            }
            let count = counts.entry(id).or_default();
            *count += 1;
            // Each sender uses increasing ids within its own million.
            if *count == 1 && last.insert(id / 1_000_000, id).is_some_and(|before| before > id) {
                verdict.disordered.push(id);
            }
        }
        verdict.arrived = counts.len();
        verdict.duplicates = counts.values().filter(|&&count| count > 1).count();
        verdict.missing = self.answered.iter().filter(|id| !counts.contains_key(id)).copied().collect();
        verdict
    }
}

impl Verdict {
    /// Whether the guarantee holds.
    pub fn is_kept(&self) -> bool {
        self.missing.is_empty() && self.unknown.is_empty() && self.changed.is_empty() && self.disordered.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, unknown, changed, disordered, duplicates, arrived, answered } = self;
        write!(f, "{answered} answered with 200, {arrived} arrived, {duplicates} of them more than once")?;
        let first = |ids: &[u64]| ids.first().copied().unwrap_or_default();
        if !missing.is_empty() {
            write!(f, "; {} missing, the first is {}", missing.len(), first(missing))?;
        }
        if !unknown.is_empty() {
            write!(f, "; {} were never sent, the first is {}", unknown.len(), first(unknown))?;
        }
        if !disordered.is_empty() {
            write!(f, "; {} out of order, the first is {}", disordered.len(), first(disordered))?;
        }
        if let Some(one) = changed.first() {
            write!(f, "; {} not as they were sent, the first is {one}", changed.len())?;
        }
        Ok(())
    }
}

/// Scenario: a correct delivery; or a message is missing, arrives twice, was not sent, is torn, is changed, is out of
/// order.
/// Guarantees: the checker finds each; only a duplicate is allowed.
#[test]
fn the_checker_finds_everything() {
    let sent = Sent { accepted: [1, 2, 3].into(), unanswered: [4].into(), refused: vec![(5, 429)] };
    let checker = Checker::of(&sent);
    let lines = |ids: &[u64]| ids.iter().map(|&id| delivered(id).to_string()).collect::<Vec<_>>();
    let right = checker.check(lines(&[1, 2, 3]));
    assert!(right.is_kept() && right.duplicates == 0, "{right}");
    assert!(checker.check(lines(&[1, 2, 3, 4, 5])).is_kept());
    let duplicates = checker.check(lines(&[1, 2, 1, 2, 3]));
    assert!(duplicates.is_kept() && duplicates.duplicates == 2 && duplicates.arrived == 3, "{duplicates}");
    let missing = checker.check(lines(&[1, 3, 4]));
    assert!(!missing.is_kept() && missing.missing == [2], "{missing}");
    assert_eq!(checker.check(lines(&[1, 2, 3, 6])).unknown, [6]);
    assert_eq!(checker.check(lines(&[1, 3, 2])).disordered, [2]);
    let mut torn = lines(&[1, 2, 3]);
    torn.push(torn[0][..20].to_owned());
    assert_eq!(checker.check(torn).changed.len(), 1);
    let mut changed = lines(&[1, 2, 3]);
    changed[1] = changed[1].replace("GET", "PUT");
    assert_eq!(checker.check(changed).changed.len(), 1);
}
