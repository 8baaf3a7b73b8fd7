//! A map from texts to values that finds all of its texts with which another text begins.

use std::collections::BTreeMap;

/// The map. Lookups take a binary search and a step for each text that is found.
#[derive(Debug)]
pub(super) struct Prefixes<T> {
    /// What [`Self::link`] has not seen yet.
    building: BTreeMap<Box<[u8]>, T>,
    /// Sorted by text.
    entries: Vec<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    text: Box<[u8]>,
    /// The longest other text that this one begins with.
    parent: Option<u32>,
    value: T,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { building: BTreeMap::new(), entries: Vec::new() }
    }
}

impl<T: Default> Prefixes<T> {
    /// The value of `text`. Lookups find it after [`Self::link`].
    pub(super) fn entry(&mut self, text: &[u8]) -> &mut T {
        self.building.entry(text.into()).or_default()
    }

    /// Makes everything that was added ready for lookups. Nothing may be added later.
    pub(super) fn link(&mut self) {
        let mut open: Vec<u32> = Vec::new();
        for (at, (text, value)) in std::mem::take(&mut self.building).into_iter().enumerate() {
            while open.last().is_some_and(|last| !text.starts_with(&self.entries[*last as usize].text)) {
                open.pop();
            }
            self.entries.push(Entry { text, parent: open.last().copied(), value });
            open.push(at as u32);
        }
    }

    /// The values, after [`Self::link`].
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|entry| &mut entry.value)
    }
}

impl<T> Prefixes<T> {
    /// Whether the map is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The values of all texts with which `text` begins, the longest first.
    ///
    /// Every such text is at or before `text` in the order, and between it and `text` are only texts that begin with it.
    /// So all of them are among the last text that is not after `text` and its ancestors.
    pub(super) fn of<'a>(&'a self, text: &[u8]) -> impl Iterator<Item = &'a T> {
        let after = self.entries.partition_point(|entry| &*entry.text <= text);
        let mut next = after.checked_sub(1);
        std::iter::from_fn(move || {
            loop {
                let entry = &self.entries[next?];
                next = entry.parent.map(|parent| parent as usize);
                if text.starts_with(&entry.text) {
                    return Some(&entry.value);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: any texts of few letters, which often begin with each other, and another text.
        /// Guarantees: exactly the texts that it begins with are found, the longest first.
        #[test]
        fn all_prefixes_are_found(texts in proptest::collection::vec("[ab]{0,5}", 0..30), text in "[abc]{0,6}") {
            let mut prefixes = Prefixes::<String>::default();
            for text in &texts {
                prefixes.entry(text.as_bytes()).clone_from(text);
            }
            prefixes.link();
            let mut expected: Vec<_> = texts.iter().filter(|prefix| text.starts_with(prefix.as_str())).collect();
            expected.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
            expected.dedup();
            prop_assert_eq!(prefixes.of(text.as_bytes()).collect::<Vec<_>>(), expected);
        }
    }
}
