//! Writes JSON.

use std::io::Write;

use serde::Serialize;

/// Writes one JSON text. The caller opens and closes in pairs.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    /// A comma, unless the last object or array has just begun.
    pub(crate) fn separate(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(b',');
        }
    }

    /// Opens the outermost object, behind whatever was written before.
    pub(crate) fn begin(&mut self) {
        self.0.push(b'{');
    }

    /// Opens an object (`{`) or an array (`[`).
    pub(crate) fn open(&mut self, bracket: u8) {
        self.separate();
        self.0.push(bracket);
    }

    /// Closes it.
    pub(crate) fn close(&mut self, bracket: u8) {
        self.0.push(bracket);
    }

    /// Opens the object `name` of an object.
    pub(crate) fn open_member(&mut self, name: &str) {
        self.name(name);
        self.0.push(b'{');
    }

    /// The name of a member that follows; it needs no escapes.
    pub(crate) fn name(&mut self, name: &str) {
        self.separate();
        self.0.reserve(name.len() + 3);
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// The name of a member that follows, from a peer.
    pub(crate) fn foreign_name(&mut self, name: &[u8]) {
        self.text(name);
        self.0.push(b':');
    }

    /// Any value.
    pub(crate) fn serialized(&mut self, value: impl Serialize) {
        self.separate();
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *self.0, &value);
    }

    /// A string. What is not UTF-8 in it becomes U+FFFD.
    pub(crate) fn text(&mut self, text: &[u8]) {
        if is_plain(text) {
            self.separate();
            self.0.reserve(text.len() + 2);
            self.0.push(b'"');
            self.0.extend_from_slice(text);
            self.0.push(b'"');
            return;
        }
        match std::str::from_utf8(text) {
            Ok(text) => self.serialized(text),
            Err(_) => self.serialized(String::from_utf8_lossy(text)),
        }
    }

    /// A member with a string of several parts.
    pub(crate) fn parts_member(&mut self, name: &str, parts: &[&[u8]]) {
        self.name(name);
        if !parts.iter().all(|part| is_plain(part)) {
            return self.text(&parts.concat());
        }
        self.0.push(b'"');
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
        self.0.push(b'"');
    }

    /// A member with a string, unless that is empty.
    pub(crate) fn text_member(&mut self, name: &str, text: &[u8]) {
        if !text.is_empty() {
            self.name(name);
            self.text(text);
        }
    }

    /// A member with a floating-point number.
    pub(crate) fn float_member(&mut self, name: &str, number: f64) {
        self.name(name);
        self.float(number);
    }

    /// `true`.
    pub(crate) fn truth(&mut self) {
        self.serialized(true);
    }

    /// A member with a number.
    pub(crate) fn number_member(&mut self, name: &str, number: impl Into<i128>) {
        self.name(name);
        let number: i128 = number.into();
        match i64::try_from(number) {
            Ok(number) => self.serialized(number),
            Err(_) => drop(write!(self.0, "{number}")),
        }
    }

    /// A member with a boolean.
    pub(crate) fn bool_member(&mut self, name: &str, value: bool) {
        self.name(name);
        self.serialized(value);
    }

    /// An array.
    pub(crate) fn list<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.name(name);
        self.0.push(b'[');
        items.into_iter().for_each(|item| write(self, item));
        self.0.push(b']');
    }

    /// A floating-point number: 3.0 is 3, as Envoy prints it. `null` if JSON has none for it.
    pub(crate) fn float(&mut self, number: f64) {
        match whole(number) {
            Some(number) => self.serialized(number),
            // serde_json writes `null` for what JSON has no number for.
            None => self.serialized(number),
        }
    }
}

/// Whether `text` is printable ASCII that needs no escape, as most text is.
fn is_plain(text: &[u8]) -> bool {
    // Without an early end, which would keep the compiler from comparing many bytes at once.
    !text
        .iter()
        .fold(false, |special, byte| special | !(b' '..=b'~').contains(byte) | (*byte == b'"') | (*byte == b'\\'))
}

/// A floating-point number that is a whole one.
pub(crate) fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "compared with its source")]
    let whole = number as i64;
    #[expect(clippy::cast_precision_loss, reason = "no loss below 2^53")]
    let same = number.abs() < 9_007_199_254_740_992.0 && whole as f64 == number;
    same.then_some(whole)
}

/// The members of a map in the order of their keys; of equal keys the last.
pub(crate) fn sorted<'m, 'k, M>(members: &'m [M], key: impl Fn(&'m M) -> &'k [u8]) -> impl Iterator<Item = &'m M> {
    let mut sorted: Vec<&M> = members.iter().collect();
    sorted.sort_by(|one, other| key(one).cmp(key(other)));
    let keep: Vec<bool> =
        (0..sorted.len()).map(|at| sorted.get(at + 1).is_none_or(|next| key(next) != key(sorted[at]))).collect();
    sorted.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(member, _)| member)
}
