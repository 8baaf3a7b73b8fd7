//! Tables as Lua has them, with numbers and names as keys: what the pairs of a form become before their types are known.

use std::collections::BTreeMap;

use super::name::Step;

/// A value without a type.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    /// A pair without `=`.
    True,
    Table(Table),
}

/// A key of a table.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Index(i64),
    Name(String),
}

/// A table.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The values, with the place of each in the order of arrival.
    entries: BTreeMap<Key, (usize, Node)>,
    /// The elements from 1 on without a gap.
    length: i64,
}

impl Table {
    /// A list.
    pub(super) fn list(items: impl IntoIterator<Item = Node>) -> Self {
        let mut table = Self::default();
        items.into_iter().for_each(|item| table.append(item));
        table
    }

    /// The table with `value` at `path`. A list at the end of an [`Step::Append`] takes the place of the list there.
    pub(super) fn nested(path: Vec<Step>, value: Node) -> Self {
        let nested = path.into_iter().rev().fold(value, |value, step| {
            let mut table = Self::default();
            match (step, value) {
                (Step::Append, Node::Table(list)) => table = list,
                (Step::Append, value) => table.append(value),
                (Step::Index(at), value) => table.insert(Key::Index(at), value),
                (Step::Name(name), value) => table.insert(Key::Name(name), value),
            }
            Node::Table(table)
        });
        match nested {
            Node::Table(table) => table,
            value => Self::list([value]),
        }
    }

    fn append(&mut self, value: Node) {
        self.insert(Key::Index(self.length + 1), value);
    }

    fn insert(&mut self, key: Key, value: Node) {
        let place = self.entries.len();
        self.entries.insert(key, (place, value));
        while self.entries.contains_key(&Key::Index(self.length + 1)) {
            self.length += 1;
        }
    }

    /// Takes over what is in `other`. Where both have a value, they become elements of a list.
    pub(super) fn combine(&mut self, other: Self) {
        for (key, (_, value)) in other.entries {
            match self.entries.get_mut(&key) {
                None => self.insert(key, value),
                Some((_, Node::Table(table))) => table.combine_value(value),
                Some((_, here)) => {
                    let mut table = Self::list([std::mem::replace(here, Node::True)]);
                    table.combine_value(value);
                    *here = Node::Table(table);
                }
            }
        }
    }

    fn combine_value(&mut self, value: Node) {
        match value {
            Node::Table(table) => self.combine(table),
            value => self.append(value),
        }
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entries.get(&Key::Name(name.to_owned())).map(|(_, node)| node)
    }

    /// Whether it has an element, in order or not.
    pub(super) fn has_elements(&self) -> bool {
        matches!(self.entries.first_key_value(), Some((Key::Index(_), _)))
    }

    /// Whether it has elements alone, without a gap.
    pub(super) fn is_list(&self) -> bool {
        usize::try_from(self.length).is_ok_and(|length| length == self.entries.len())
    }

    /// The values, in the order of their keys: elements first.
    pub(super) fn into_values(self) -> impl Iterator<Item = Node> {
        self.entries.into_values().map(|(_, node)| node)
    }

    /// The entries in the order of their arrival.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (String, Node)> {
        let mut entries: Vec<_> = self.entries.into_iter().collect();
        entries.sort_by_key(|(_, (place, _))| *place);
        entries.into_iter().map(|(key, (_, node))| match key {
            Key::Index(at) => (at.to_string(), node),
            Key::Name(name) => (name, node),
        })
    }
}
