//! Tags of entities.

use std::collections::HashSet;
use std::sync::Arc;

/// Tags that a file adds to each of its entities (`_info.select_tags`): one list for all of them, however many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedTags {
    in_order: Vec<String>,
    all: HashSet<String>,
}

impl SharedTags {
    /// The tags, in the order of the file.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &str> {
        self.in_order.iter().map(String::as_str)
    }
}

impl FromIterator<String> for SharedTags {
    fn from_iter<T: IntoIterator<Item = String>>(tags: T) -> Self {
        let in_order: Vec<String> = tags.into_iter().collect();
        Self { all: in_order.iter().cloned().collect(), in_order }
    }
}

/// The tags of one entity: its own, and those that its file adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    own: Vec<String>,
    shared: Arc<SharedTags>,
}

impl Tags {
    pub(super) fn new(own: Vec<String>, shared: Arc<SharedTags>) -> Self {
        Self { own, shared }
    }

    /// Its own tags, and then those of its file that are not among them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let own: HashSet<&str> = self.own.iter().map(String::as_str).collect();
        let shared = self.shared.in_order.iter().map(String::as_str);
        self.own.iter().map(String::as_str).chain(shared.filter(move |tag| !own.contains(tag)))
    }

    /// Whether it has all of `wanted`.
    pub fn has_all(&self, wanted: &[String]) -> bool {
        if wanted.is_empty() {
            return true;
        }
        let own: HashSet<&str> = self.own.iter().map(String::as_str).collect();
        wanted.iter().all(|tag| own.contains(tag.as_str()) || self.shared.all.contains(tag))
    }
}
