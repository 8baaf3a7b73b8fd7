//! Mappings: which member of the object that a proxy logs becomes which member of the transaction.
//!
//! A mapping is written in YAML (docs/mappings.md); those of `builtin/` are part of the program. It is read once ([`Mappings`])
//! into the members to look for (`sources`) and the rules that give values (`rule`). A line is then read in one pass
//! (`scan`), which keeps where the values are, and the transaction is written from these (`write`).

mod builtin;
mod read;
mod rule;
mod scan;
mod seen;
mod sources;
mod text;
mod unit;
mod write;

use logphase_script::transaction::Limits;

pub use builtin::{BUILT_IN, Mappings};
pub use read::SCHEMA;

use rule::Object;
use scan::Unread;
use seen::{ENOUGH, Seen};
use sources::Sources;
use write::Writer;

/// The name of no mapping: what arrives are Kong's log objects.
pub const KONG: &str = "kong";

/// Why and where an object is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Offset in bytes from the start of the text.
    pub offset: usize,
    /// The reason, as a sentence fragment.
    pub reason: String,
    /// The object or its transaction is past a limit.
    pub too_large: bool,
}

/// A mapping, ready to be applied.
#[derive(Debug)]
pub struct Mapping {
    name: String,
    sources: Sources,
    /// Texts that stand for no value.
    absent: Vec<Box<[u8]>>,
    /// The members of the transaction.
    root: Object,
    /// Whether a rule takes what nothing else reads.
    keeps_unread: bool,
    seen: Seen,
}

/// What a mapping's transactions had so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The number of transactions.
    pub transactions: u64,
    /// Members that the mapping reads and no transaction had. Those that sound logs may lack are left out.
    pub unseen: Vec<String>,
    /// Members that had a value which the mapping cannot read, such as a text where it expects a number.
    pub unreadable: Vec<String>,
    /// Members that the first transactions had and the mapping does not read; at most a few.
    pub unmapped: Vec<String>,
}

impl Report {
    /// The members that no transaction had, once there were enough of them for that to be a mistake.
    pub fn missing(&self) -> &[String] {
        if self.transactions < ENOUGH { &[] } else { &self.unseen }
    }
}

impl Mapping {
    /// The name in settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Appends the transaction of the object that begins at or after `at` of `text` to `out`. Returns the offset of the byte
    /// after the object.
    ///
    /// # Errors
    /// It is no object, even with repairs, or the object or its transaction is past a limit.
    pub fn map(&self, text: &[u8], at: usize, limits: &Limits, out: &mut Vec<u8>) -> Result<usize, Rejected> {
        let unread = Unread { keep: self.keeps_unread, absent: &self.absent, tell: self.seen.wants_unread() };
        let (mut line, end) = scan::scan(text, at, &self.sources, limits, unread)?;
        let unmapped = std::mem::take(&mut line.unmapped);
        let start = out.len();
        let max_bytes = start.saturating_add(limits.max_bytes);
        out.push(b'{');
        let unreadable = vec![0; line.present.len()];
        let mut writer = Writer { line: &line, absent: &self.absent, out, max_bytes, unreadable };
        writer.members(&self.root, None);
        let unreadable = writer.unreadable;
        out.push(b'}');
        if out.len() > max_bytes {
            let reason = format!("the transaction of it is longer than the limit of {} bytes", limits.max_bytes);
            return Err(Rejected { offset: at, reason, too_large: true });
        }
        self.seen.record(&line.present, &unreadable, unmapped);
        Ok(end)
    }

    /// What its transactions had so far.
    pub fn report(&self) -> Report {
        let named = |keep: &dyn Fn(usize) -> bool| {
            let paths = self.sources.paths().enumerate().filter(|(id, _)| keep(*id));
            paths.map(|(_, path)| path.to_owned()).collect()
        };
        Report {
            transactions: self.seen.transactions(),
            unseen: named(&|id| !self.seen.has(id) && !self.sources.is_optional(id)),
            unreadable: named(&|id| self.seen.is_unreadable(id)),
            unmapped: self.seen.unread(),
        }
    }
}

#[cfg(test)]
mod tests;
