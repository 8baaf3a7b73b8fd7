//! Where the lines of a text begin, to find many places in it.

use serde_json::{Value, json};

/// The beginnings of the lines of a text.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let behind = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        Self { text, starts: std::iter::once(0).chain(behind).collect() }
    }

    /// The place of the byte `offset` as an editor has it: line and column from 1, the column in UTF-16 code units.
    pub(super) fn place(&self, offset: usize) -> Value {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset);
        // A long line is not worth counting for each of its places.
        let start = self.starts[line - 1].max(offset.saturating_sub(MAX_COUNTED));
        let start = (start..=offset).find(|at| self.text.is_char_boundary(*at)).unwrap_or(offset);
        let column = self.text[start..offset].encode_utf16().count() + 1;
        json!({"line": line, "column": column, "offset": offset})
    }
}

/// Bytes of a line before a place that its column counts, at most.
const MAX_COUNTED: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: any text, and any offset in it or past it.
        /// Guarantees: the place is that of the character there, in the units of an editor in a browser.
        #[test]
        fn places_are_those_of_an_editor(text in "([a-z\u{e9}\u{1f600}]|\n){0,40}", offset in 0_usize..80) {
            let place = Lines::of(&text).place(offset);
            let mut end = offset.min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let before = &text[..end];
            let line = before.split('\n').count();
            let column = before.rsplit('\n').next().unwrap().encode_utf16().count() + 1;
            prop_assert_eq!(place, json!({"line": line, "column": column, "offset": end}));
        }
    }
}
