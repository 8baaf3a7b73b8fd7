//! Writes JSON.

use std::io::Write;

use serde::Serialize;

/// Writes one JSON text. The caller opens and closes in pairs.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    /// A comma, unless the last object or array has just begun.
    #[inline]
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
    #[inline]
    pub(crate) fn open_member(&mut self, name: &str) {
        self.name(name);
        self.0.push(b'{');
    }

    /// The name of a member that follows; it needs no escapes.
    #[inline]
    pub(crate) fn name(&mut self, name: &str) {
        self.0.reserve(name.len() + 4);
        self.separate();
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// The name of a member that follows, from a peer.
    #[inline]
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
            self.0.reserve(text.len() + 3);
            self.separate();
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
    #[inline]
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
    #[inline]
    pub(crate) fn number_member(&mut self, name: &str, number: impl Into<i128>) {
        self.name(name);
        self.number(number.into());
    }

    fn number(&mut self, number: i128) {
        match u64::try_from(number) {
            Ok(number) => self.0.extend_from_slice(decimal(number, &mut [0; 20])),
            // Writing to memory does not fail.
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

/// The digits of `number`.
pub(crate) fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    while start > 0 {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    &digits[start..]
}

/// Whether `text` is printable ASCII that needs no escape, as most text is.
fn is_plain(text: &[u8]) -> bool {
    // Whole blocks, without an early end within one, which the compiler compares at once. The last one may overlap the one
    // before it.
    fn blocks<const N: usize>(text: &[u8]) -> Option<bool> {
        let last = text.last_chunk::<N>()?;
        let (blocks, _) = text.as_chunks::<N>();
        Some(blocks.iter().all(are_plain) && are_plain(last))
    }
    fn are_plain<const N: usize>(bytes: &[u8; N]) -> bool {
        !bytes.iter().fold(false, |special, byte| special | is_special(*byte))
    }
    blocks::<16>(text).or_else(|| blocks::<4>(text)).unwrap_or_else(|| !text.iter().any(|byte| is_special(*byte)))
}

#[inline]
fn is_special(byte: u8) -> bool {
    !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\')
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: texts of printable bytes of any length, as they are and with any byte in any place; bytes that are not UTF-8.
        /// Guarantees: what is written is JSON, whose string is the text, with U+FFFD for what is not UTF-8.
        #[test]
        fn texts(plain in vec(b' '..=b'~', 0..70), at in any::<prop::sample::Index>(), byte: u8) {
            let mut changed = plain.clone();
            if !plain.is_empty() {
                changed[at.index(plain.len())] = byte;
            }
            for text in [plain, changed] {
                let mut out = Vec::new();
                Writer(&mut out).text(&text);
                prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), String::from_utf8_lossy(&text));
            }
        }

        /// Scenario: numbers of any size, also beyond 64 bits.
        /// Guarantees: their digits are those that the standard library prints.
        #[test]
        fn numbers(number: i128, shift in 0..128_u32) {
            let number = number >> shift;
            let mut out = Vec::new();
            Writer(&mut out).number(number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
