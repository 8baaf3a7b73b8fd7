//! The transaction: one finished request and response (or L4 session) as a proxy sends it.
//!
//! A transaction is kept as the received bytes. A single pass validates them and indexes the members that the log phase
//! reads. Deeper values are parsed only when a snippet, a redaction rule or an edit needs them.

pub(crate) mod body;
mod names;
pub(crate) mod number;
mod plain;
mod scan;
pub mod text;
mod view;

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use crate::runtime::work;

pub use body::multipart::{Parts as MultipartParts, parts as multipart_parts};
use scan::Member;
pub use scan::{Level, Span, split_array, split_object};
pub(crate) use scan::{Traits, is_credential};
pub(crate) use text::{Escaping, Numbers};
pub use view::{Value, View};

/// Limits of one transaction. Each is a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one transaction.
    pub max_bytes: usize,
    /// Levels of nesting; the outermost object is level 1.
    pub max_depth: usize,
    /// Members of objects and elements of arrays of all levels.
    pub max_members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 1 << 20, max_depth: 64, max_members: 10_000 }
    }
}

/// Why and where bytes are not a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct Rejection {
    /// Offset in bytes from the start of the transaction's own text.
    pub offset: usize,
    /// The reason, as a sentence fragment.
    pub reason: String,
    /// The transaction is valid JSON that exceeds a limit (status 413 from inputs that can respond).
    pub too_large: bool,
}

/// A validated transaction.
#[derive(Debug, Clone)]
pub struct Transaction {
    bytes: Bytes,
    members: Vec<Member>,
    traits: Traits,
    attachment: Option<Arc<dyn Any + Send + Sync>>,
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

    /// Reads the object that begins at or after `at` in valid UTF-8. Returns its end as well.
    fn read(text: &Bytes, at: usize, limits: &Limits) -> Result<(Self, usize), Rejection> {
        let scanned = scan::scan(text, at, limits)?;
        let start = scanned.end - scanned.length;
        let bytes = text.slice(start..scanned.end);
        if !scanned.multiline {
            return Ok((
                Self { bytes, members: scanned.members, traits: scanned.traits, attachment: None },
                scanned.end,
            ));
        }
        // A message is one line, so line breaks between tokens must not be copied into it.
        let compact = Bytes::from(text::compact(&bytes));
        let scan::Scanned { members, traits, .. } = scan::scan(&compact, 0, limits)?;
        Ok((Self { bytes: compact, members, traits, attachment: None }, scanned.end))
    }

    /// The text of the object as received, except for line breaks and tabs between tokens.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Attaches what the transaction was made of, for who reads more of it. Snippets and messages do not have it.
    pub fn attach(&mut self, attachment: Arc<dyn Any + Send + Sync>) {
        self.attachment = Some(attachment);
    }

    /// What was attached, if it is a `T`.
    pub fn attachment<T: Any>(&self) -> Option<&T> {
        self.attachment.as_deref()?.downcast_ref()
    }

    /// The rare properties of this transaction.
    pub(crate) fn traits(&self) -> Traits {
        self.traits
    }

    /// The members of the outermost object and their values, in order, including `_context`.
    pub(crate) fn root(&self) -> impl Iterator<Item = (Span, Span)> + '_ {
        self.members_at(Level::Root).map(|member| (member.key, member.value))
    }

    /// The number of indexed members, through which a search for one goes.
    pub(crate) fn members_count(&self) -> usize {
        self.members.len()
    }

    /// The indexed members of the object at `level`.
    pub(crate) fn members_at(&self, level: Level) -> impl DoubleEndedIterator<Item = &Member> + '_ {
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

    /// The value of the member `name` of `_context`.
    pub fn context(&self, name: &str) -> Option<View<'_>> {
        let context = self.context_object()?;
        work(context.raw().len());
        context.get(name)
    }

    /// Adds members to the end of the outermost object, which has none of these names. The names need no escapes, and the
    /// values are valid JSON on one line.
    pub fn add_members(&mut self, members: &[(&str, &[u8])]) {
        let body = self.bytes[..self.bytes.len().saturating_sub(1)].trim_ascii_end();
        let more: usize = members.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut bytes = Vec::with_capacity(body.len() + more + 1);
        bytes.extend_from_slice(body);
        let mut separator = if self.members.iter().any(|member| member.level == Level::Root) { ",\"" } else { "\"" };
        for (name, value) in members {
            let mut put = |before: &str, text: &[u8]| {
                bytes.extend_from_slice(before.as_bytes());
                let start = bytes.len();
                bytes.extend_from_slice(text);
                // A transaction over 4 GiB is never read, and what is added to it is far below that.
                Span { start: start as u32, end: bytes.len() as u32 }
            };
            let (key, span) = (put(separator, name.as_bytes()), put("\":", value));
            separator = ",\"";
            self.traits.empty_objects |= memchr::memmem::find(value, b"{}").is_some();
            self.members.push(Member { level: Level::Root, key, value: span });
        }
        bytes.push(b'}');
        self.bytes = bytes.into();
    }

    /// `_context` with one more member, to be added by [`Self::add_members`]; `None` if it has one of that name, or if `value`
    /// gives none.
    pub fn context_with(&self, name: &str, value: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        if self.context(name).is_some() {
            return None;
        }
        let value = value()?;
        let object = self.context_object().map(|context| context.raw().trim_ascii());
        let members = object.and_then(|object| object.strip_prefix(b"{")?.strip_suffix(b"}")).unwrap_or_default();
        let members = members.trim_ascii();
        let separator = if members.is_empty() { "" } else { "," };
        let added = format!("{separator}\"{name}\":");
        Some([b"{", members, added.as_bytes(), &value, b"}"].concat())
    }

    fn context_object(&self) -> Option<View<'_>> {
        self.get(CONTEXT)
    }
}

/// The member for data that Kong's log object lacks. It is never logged.
pub const CONTEXT: &str = "_context";

fn utf8(bytes: &[u8]) -> Result<(), Rejection> {
    // Most texts are ASCII, which is checked at several times the speed.
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
