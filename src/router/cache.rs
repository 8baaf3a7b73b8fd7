//! Answers of the router by what it read, for requests with many candidates.

use std::collections::HashMap;

/// Maximum answers in each half of the cache.
const HALF: usize = 2048;

/// Maximum bytes of what an answer is kept by: with longer ones, the cache could fill the memory.
const MAX_KEY_BYTES: usize = 1024;

/// A cache of a bounded size: at most two halves of [`HALF`] keys of [`MAX_KEY_BYTES`].
///
/// When the young half is full it becomes the old one, and what the old one held is forgotten. An answer that is found in
/// the old half moves to the young one. So each lookup takes constant time, whatever the keys are; the hash has a secret
/// key, since senders choose what is kept.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: HashMap<Box<[u8]>, Option<u32>>,
    old: HashMap<Box<[u8]>, Option<u32>>,
}

impl Cache {
    /// The answer for `key`; from `find` if it is not known.
    pub(super) fn get(&mut self, key: &[u8], find: impl FnOnce() -> Option<u32>) -> Option<u32> {
        if let Some(known) = self.young.get(key) {
            return *known;
        }
        let answer = self.old.remove(key).unwrap_or_else(find);
        if key.len() <= MAX_KEY_BYTES {
            if self.young.len() >= HALF {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key.into(), answer);
        }
        answer
    }

    /// The number of answers.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: ten times as many different keys as the cache holds, one of them asked for again and again, and long keys.
    /// Guarantees: the size stays within its bound; what is in use stays; long keys are answered and not kept.
    #[test]
    fn the_size_is_bounded() {
        let mut cache = Cache::default();
        assert_eq!(cache.get(b"often", || Some(7)), Some(7));
        for number in 0..(20 * HALF as u32) {
            assert_eq!(cache.get(&number.to_le_bytes(), || Some(number)), Some(number));
            assert_eq!(cache.get(b"often", || unreachable!("it is in use")), Some(7));
            assert!(cache.len() <= 2 * HALF);
        }
        let before = cache.len();
        assert_eq!(cache.get(&[0; MAX_KEY_BYTES + 1], || None), None);
        assert_eq!(cache.len(), before);
    }
}
