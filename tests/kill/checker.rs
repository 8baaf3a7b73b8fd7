//! Checks the delivery from outside of the process: compares the sent and the acknowledged transactions with the received
//! messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::service::{Sent, id_of, transaction};

/// The start of every message of [`transaction`].
const BEFORE_ID: &[u8] = b"{\"request\":{\"id\":\"";

/// Makes a transaction from its id.
pub type Make = fn(u64) -> Value;

/// The senders' view.
pub struct Checker {
    /// Answered with 200: must arrive.
    answered: BTreeSet<u64>,
    /// Sent at all: may arrive.
    sent: BTreeSet<u64>,
    make: Make,
}

/// What has arrived at one sink.
#[derive(Debug, Clone)]
pub struct Arrivals {
    /// The unchanged messages, in order of arrival.
    ids: Vec<u64>,
    /// The beginnings of texts that are not as anything that was sent.
    changed: Vec<String>,
    /// Texts that end too early.
    torn: usize,
    /// The file was on a machine without power: where unsynced data was, a file system leaves zero bytes.
    after_power_cuts: bool,
    make: Make,
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
    /// Number of incomplete lines that are no messages; see [`Arrivals::take_line`].
    pub torn: usize,
}

/// A transaction as it must arrive: as sent, with its credentials redacted.
fn delivered(mut message: Value) -> Value {
    message["request"]["headers"]["authorization"] = "REDACTED".into();
    message
}

impl Arrivals {
    /// Nothing yet, of transactions that `make` creates.
    pub fn of(make: Make) -> Self {
        Self { ids: Vec::new(), changed: Vec::new(), torn: 0, after_power_cuts: false, make }
    }

    /// Adds a message. Keeps only what is needed to check it.
    pub fn take(&mut self, text: &[u8]) {
        match self.identify(text) {
            Some(id) => self.ids.push(id),
            None => self.changed.push(beginning(text)),
        }
    }

    /// Adds a line of a file to which killed processes have written: it may be the beginning of a message, which counts as
    /// torn and not as a message.
    pub fn take_line(&mut self, line: &[u8]) {
        match self.identify(line) {
            Some(id) => self.ids.push(id),
            None if self.is_beginning(line) || (self.after_power_cuts && line.contains(&0)) => self.torn += 1,
            None => self.changed.push(beginning(line)),
        }
    }

    /// Number of messages.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// The ids that arrived.
    pub fn ids(&self) -> BTreeSet<u64> {
        self.ids.iter().copied().collect()
    }

    /// The id of a message that is as it must be.
    fn identify(&self, text: &[u8]) -> Option<u64> {
        if let Some(id) = leading_id(text)
            && delivered((self.make)(id)).to_string().as_bytes() == text
        {
            return Some(id);
        }
        // The same object with another order or other escapes is the same message.
        let message: Value = serde_json::from_slice(text).ok()?;
        let id = id_of(&message)?;
        (message == delivered((self.make)(id))).then_some(id)
    }

    /// Whether this is a message without its end.
    fn is_beginning(&self, text: &[u8]) -> bool {
        match leading_id(text) {
            Some(id) => {
                let whole = delivered((self.make)(id)).to_string();
                text.len() < whole.len() && whole.as_bytes().starts_with(text)
            }
            // It ends before the id does.
            None => {
                let shared = text.len().min(BEFORE_ID.len());
                text[..shared] == BEFORE_ID[..shared] && text[shared..].iter().all(u8::is_ascii_digit)
            }
        }
    }
}

/// The lines of a file to which killed processes have written, or which lost its unsynced data in power cuts.
pub fn lines_of(file: &Path, make: Make, after_power_cuts: bool) -> Arrivals {
    let mut arrivals = Arrivals { after_power_cuts, ..Arrivals::of(make) };
    let file = BufReader::with_capacity(1 << 20, File::open(file).unwrap());
    // An empty line is a torn line of no bytes, or the end of a line that a kill has torn off: nothing in any case.
    let lines = file.split(b'\n').map(Result::unwrap).filter(|line| !line.is_empty());
    lines.for_each(|line| arrivals.take_line(&line));
    arrivals
}

fn beginning(text: &[u8]) -> String {
    let shown = &text[..text.len().min(300)];
    format!("{} ({} bytes)", String::from_utf8_lossy(shown), text.len())
}

/// The id at the start of a message that has the members of [`transaction`].
fn leading_id(text: &[u8]) -> Option<u64> {
    let rest = text.strip_prefix(BEFORE_ID)?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

impl Checker {
    /// A checker for what these senders sent.
    pub fn of(sent: &Sent) -> Self {
        Self::with(sent, transaction)
    }

    /// The same for transactions that `make` creates.
    pub fn with(sent: &Sent, make: Make) -> Self {
        let refused = sent.refused.iter().map(|(id, _)| *id);
        let all = sent.accepted.iter().chain(&sent.unanswered).copied().chain(refused);
        Self { answered: sent.accepted.clone(), sent: all.collect(), make }
    }

    /// Checks the messages of one sink, in order of arrival.
    pub fn check(&self, messages: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Verdict {
        let mut arrivals = Arrivals::of(self.make);
        messages.into_iter().for_each(|message| arrivals.take(message.as_ref()));
        self.judge(&arrivals)
    }

    /// Checks what has arrived at one sink.
    pub fn judge(&self, arrivals: &Arrivals) -> Verdict {
        let (changed, torn) = (arrivals.changed.clone(), arrivals.torn);
        let mut verdict = Verdict { answered: self.answered.len(), changed, torn, ..Verdict::default() };
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for &id in &arrivals.ids {
            if !self.sent.contains(&id) {
                verdict.unknown.push(id);
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
        let Self { missing, unknown, changed, disordered, duplicates, arrived, answered, torn } = self;
        write!(f, "{answered} answered with 200, {arrived} arrived, {duplicates} of them more than once")?;
        if *torn > 0 {
            write!(f, ", {torn} torn lines")?;
        }
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
    let lines = |ids: &[u64]| ids.iter().map(|&id| delivered(transaction(id)).to_string()).collect::<Vec<_>>();
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

/// Scenario: lines of a file after kills: whole ones, beginnings of messages of every length, half a line with a whole
/// one behind it, and the second half of a line.
/// Guarantees: a beginning on a line of its own is torn; everything else that is not whole is found.
#[test]
fn torn_lines_are_told_from_damage() {
    let whole = delivered(transaction(1_000_017)).to_string();
    let verdict = |lines: &[&[u8]]| {
        let mut arrivals = Arrivals::of(transaction);
        lines.iter().for_each(|line| arrivals.take_line(line));
        (arrivals.count(), arrivals.torn, arrivals.changed.len())
    };
    for end in 1..whole.len() {
        assert_eq!(verdict(&[whole.as_bytes(), &whole.as_bytes()[..end]]), (1, 1, 0), "{}", &whole[..end]);
    }
    assert_eq!(verdict(&[[&whole[..20], &whole].concat().as_bytes()]), (0, 0, 1));
    assert_eq!(verdict(&[[&whole[..200], &whole].concat().as_bytes()]), (0, 0, 1));
    assert_eq!(verdict(&[&whole.as_bytes()[200..]]), (0, 0, 1));
    assert_eq!(verdict(&[b"\0\0\0"]), (0, 0, 1));
}
