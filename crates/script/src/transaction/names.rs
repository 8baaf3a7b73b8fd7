//! Finds repeated names among the members of an object, in constant time per name.

use std::borrow::Cow;
use std::collections::HashMap;

use super::text::unescape;

/// The number of members from which on a table is used.
const TABLE_FROM: usize = 32;

/// The names of an object's members so far.
#[derive(Default)]
pub(super) struct Names<'a> {
    /// One bit for each hash of a name: a filter that avoids the exact comparison for most names of a small object.
    seen: [u64; 8],
    count: usize,
    /// The unescaped names of a large object.
    table: Option<HashMap<Cow<'a, [u8]>, usize>>,
}

impl<'a> Names<'a> {
    /// The number of an earlier member with the same `name`, which is not unescaped. `known` gives the members so far with
    /// their numbers.
    #[inline]
    pub(super) fn find<K>(&mut self, name: &[u8], escaped: bool, known: impl FnOnce() -> K) -> Option<usize>
    where
        K: Iterator<Item = (usize, &'a [u8])>,
    {
        if self.table.is_none() && !self.may_be_known(name, escaped) {
            return None;
        }
        self.find_exactly(name, known)
    }

    /// Records the name of member number `at`.
    #[inline]
    pub(super) fn add(&mut self, name: &'a [u8], at: usize) {
        self.count += 1;
        if let Some(table) = &mut self.table {
            table.insert(unescape(name), at);
        }
    }

    #[cold]
    fn find_exactly<K>(&mut self, name: &[u8], known: impl FnOnce() -> K) -> Option<usize>
    where
        K: Iterator<Item = (usize, &'a [u8])>,
    {
        if self.table.is_none() && self.count < TABLE_FROM {
            return known().find(|(_, known)| same_name(known, name)).map(|(at, _)| at);
        }
        let table = self.table.get_or_insert_with(|| known().map(|(at, name)| (unescape(name), at)).collect());
        table.get(&*unescape(name)).copied()
    }

    /// Whether a name may be a repetition.
    #[inline]
    fn may_be_known(&mut self, name: &[u8], escaped: bool) -> bool {
        if escaped {
            self.seen = [u64::MAX; 8];
            return true;
        }
        let ends = name.first().map_or(0, |first| (u64::from(*first) << 8) | u64::from(name[name.len() - 1]));
        let hash = (ends | ((name.len() as u64) << 16)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (word, bit) = (&mut self.seen[(hash >> 61) as usize], 1 << ((hash >> 55) & 63));
        let seen = *word & bit != 0;
        *word |= bit;
        seen
    }
}

/// Whether two encoded names are the same name.
fn same_name(a: &[u8], b: &[u8]) -> bool {
    if memchr::memchr(b'\\', a).is_none() && memchr::memchr(b'\\', b).is_none() {
        return a == b;
    }
    unescape(a) == unescape(b)
}
