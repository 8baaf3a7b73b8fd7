//! The transaction: one finished request and response (or L4 session) as a proxy hands it over.
//!
//! It stays the bytes it came as. One pass validates them and notes where the members are that the log phase
//! looks at; everything deeper is read only where a snippet, a redaction or an edit reaches in.

pub mod body;
mod plain;
mod scan;
pub mod text;
mod view;

use bytes::Bytes;

use scan::Member;
pub use scan::{Level, Span, Traits, is_credential, split_array, split_object};
pub use text::{Escaping, Numbers};
pub use view::{Value, View};

/// What one transaction may be. Each bound is a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one transaction.
    pub max_bytes: usize,
    /// Levels of nesting; the outermost object is level 1.
    pub max_depth: usize,
    /// Members of objects and elements of arrays, all levels together.
    pub max_members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 1 << 20, max_depth: 64, max_members: 10_000 }
    }
}

/// Why bytes are not a transaction, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct Rejection {
    /// Offset in bytes from the start of the transaction's own text.
    pub offset: usize,
    /// What is wrong, as a sentence fragment.
    pub reason: String,
    /// The transaction is sound JSON, but past a limit (answered 413 where an input can answer).
    pub too_large: bool,
}

/// A validated transaction.
#[derive(Debug, Clone)]
pub struct Transaction {
    bytes: Bytes,
    members: Vec<Member>,
    traits: Traits,
}

impl Transaction {
    /// Validates `bytes` as one JSON object within `limits`. White space around it is allowed.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, Rejection> {
        utf8(&bytes)?;
        let (transaction, end) = Self::read(&bytes, 0, limits)?;
        match bytes[end..].iter().position(|byte| !byte.is_ascii_whitespace()) {
            None => Ok(transaction),
            Some(more) => Err(Rejection {
                offset: end + more,
                reason: "expected the end of the text after the object".to_owned(),
                too_large: false,
            }),
        }
    }

    /// Reads the object that begins at or after `at` in valid UTF-8, and says where it ends.
    fn read(text: &Bytes, at: usize, limits: &Limits) -> Result<(Self, usize), Rejection> {
        let scanned = scan::scan(text, at, limits)?;
        let start = scanned.end - scanned.length;
        let bytes = text.slice(start..scanned.end);
        if !scanned.multiline {
            return Ok((Self { bytes, members: scanned.members, traits: scanned.traits }, scanned.end));
        }
        // A message is one line, so white space that breaks lines must not be carried into it.
        let compact = Bytes::from(text::compact(&bytes));
        let scan::Scanned { members, traits, .. } = scan::scan(&compact, 0, limits)?;
        Ok((Self { bytes: compact, members, traits }, scanned.end))
    }

    /// The text of the object; as it came, but for line breaks and tabs between its tokens.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What of that which few transactions have this one has.
    pub fn traits(&self) -> Traits {
        self.traits
    }

    /// The members of the outermost object and their values, in order, `_context` among them.
    pub fn root(&self) -> impl Iterator<Item = (Span, Span)> + '_ {
        self.members_at(Level::Root).map(|member| (member.key, member.value))
    }

    /// The indexed members of the object at `level`.
    pub fn members_at(&self, level: Level) -> impl DoubleEndedIterator<Item = &Member> + '_ {
        self.members.iter().filter(move |member| member.level == level)
    }

    /// The value of the member `name` of the object at `level`.
    pub fn member(&self, level: Level, name: &str) -> Option<View<'_>> {
        let found = self.members_at(level).rev().find(|member| {
            let key = member.key.of(&self.bytes);
            key == name.as_bytes() || (self.traits.escaped_names && text::unescape(key) == name.as_bytes())
        })?;
        Some(View::new(found.value.of(&self.bytes)))
    }

    /// The value of the member `name` of the outermost object.
    pub fn get(&self, name: &str) -> Option<View<'_>> {
        self.member(Level::Root, name)
    }

    /// A value out of `_context`.
    pub fn context(&self, name: &str) -> Option<View<'_>> {
        self.context_object()?.get(name)
    }

    fn context_object(&self) -> Option<View<'_>> {
        self.get(CONTEXT)
    }
}

/// The member that carries what Kong's log object lacks; it is never logged.
pub const CONTEXT: &str = "_context";

fn utf8(bytes: &[u8]) -> Result<(), Rejection> {
    // Most are, and that is seen at several times the speed.
    if bytes.is_ascii() {
        return Ok(());
    }
    std::str::from_utf8(bytes).map(drop).map_err(|error| Rejection {
        offset: error.valid_up_to(),
        reason: "not valid UTF-8".to_owned(),
        too_large: false,
    })
}

/// Reads the transactions of a longer text, such as the elements of an array, one at a time.
#[derive(Debug)]
pub struct TransactionReader<'a> {
    text: &'a Bytes,
    limits: &'a Limits,
}

impl<'a> TransactionReader<'a> {
    /// A reader of `text`; `limits` hold for each transaction.
    ///
    /// # Errors
    /// The text is not UTF-8.
    pub fn new(text: &'a Bytes, limits: &'a Limits) -> Result<Self, Rejection> {
        utf8(text)?;
        Ok(Self { text, limits })
    }

    /// Reads the object that begins at or after the byte `at`. Returns it with the offset of the byte after it.
    ///
    /// # Errors
    /// No object begins there, or it is past a limit. The offset of the error counts from `at`.
    pub fn read(&self, at: usize) -> Result<(Transaction, usize), Rejection> {
        Transaction::read(self.text, at, self.limits)
    }
}

#[cfg(test)]
mod tests;
