//! The members of the incoming object that a mapping reads.

/// The members of one object that are read, found by their names.
#[derive(Debug, Default)]
pub(super) struct Level {
    entries: Vec<Entry>,
    /// Index of an entry plus one by the hash of its name; its size is a power of two, at least twice that of `entries`.
    table: Vec<u16>,
    /// Beginnings of names, each with the index of the prefix among those of the mapping.
    prefixes: Vec<(Box<[u8]>, usize)>,
}

/// One member that is read.
#[derive(Debug)]
pub(super) struct Entry {
    name: Box<[u8]>,
    /// The slot that its value is put into.
    pub(super) slot: Option<usize>,
    /// The level of its own members, if some of them are read.
    pub(super) level: Option<usize>,
}

/// Everything that a mapping reads.
#[derive(Debug)]
pub(super) struct Sources {
    /// The first is that of the outermost object.
    levels: Vec<Level>,
    /// The path of the member of each slot.
    slots: Vec<String>,
    /// The same of each prefix, with a final `*`.
    prefixes: Vec<String>,
    /// Those slots, and with `true` prefixes, that every sound log has.
    required: Vec<(usize, bool)>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { levels: vec![Level::default()], slots: Vec::new(), prefixes: Vec::new(), required: Vec::new() }
    }
}

impl Sources {
    /// The slot of the member at `path`, whose names are `names`.
    pub(super) fn slot(&mut self, path: &str, names: &[String]) -> usize {
        let Some((last, above)) = names.split_last() else { return 0 };
        let at = self.level_of(above);
        let entry = self.levels[at].entry(last);
        if let Some(slot) = self.levels[at].entries[entry].slot {
            return slot;
        }
        self.slots.push(path.to_owned());
        let slot = self.slots.len() - 1;
        self.levels[at].entries[entry].slot = Some(slot);
        slot
    }

    /// The index of the prefix `path`, of whose names the last is the beginning of the names of members.
    pub(super) fn prefix(&mut self, path: &str, names: &[String]) -> usize {
        let Some((last, above)) = names.split_last() else { return 0 };
        let shown = format!("{path}*");
        if let Some(known) = self.prefixes.iter().position(|known| *known == shown) {
            return known;
        }
        let at = self.level_of(above);
        self.prefixes.push(shown);
        let prefix = self.prefixes.len() - 1;
        self.levels[at].prefixes.push((last.as_bytes().into(), prefix));
        prefix
    }

    /// The number of `prefix` among all that is read, slots and prefixes.
    pub(super) fn id_of_prefix(&self, prefix: usize) -> usize {
        self.slots.len() + prefix
    }

    /// Notes that every sound log has a slot or prefix.
    pub(super) fn set_required(&mut self, index: usize, is_prefix: bool) {
        if !self.required.contains(&(index, is_prefix)) {
            self.required.push((index, is_prefix));
        }
    }

    /// Whether logs may lack what has the number `id`.
    pub(super) fn is_optional(&self, id: usize) -> bool {
        let entry = id.checked_sub(self.slots.len()).map_or((id, false), |prefix| (prefix, true));
        !self.required.contains(&entry)
    }

    /// The number of slots.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The paths of all that is read, in the order of their numbers.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().chain(&self.prefixes).map(String::as_str)
    }

    /// The number of all that is read.
    pub(super) fn len(&self) -> usize {
        self.slots.len() + self.prefixes.len()
    }

    /// A level by its index.
    pub(super) fn level(&self, index: usize) -> &Level {
        &self.levels[index]
    }

    fn level_of(&mut self, names: &[String]) -> usize {
        let mut at = 0;
        for name in names {
            let entry = self.levels[at].entry(name);
            at = match self.levels[at].entries[entry].level {
                Some(level) => level,
                None => {
                    self.levels.push(Level::default());
                    let level = self.levels.len() - 1;
                    self.levels[at].entries[entry].level = Some(level);
                    level
                }
            };
        }
        at
    }
}

impl Level {
    /// The entry `name`.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<&Entry> {
        let mask = self.table.len().checked_sub(1)?;
        let mut at = hash(name) & mask;
        loop {
            let entry = &self.entries[usize::from(self.table[at].checked_sub(1)?)];
            if *entry.name == *name {
                return Some(entry);
            }
            at = (at + 1) & mask;
        }
    }

    /// The longest prefix of `name`, with the rest of the name.
    pub(super) fn prefix_of<'n>(&self, name: &'n [u8]) -> Option<(usize, &'n [u8])> {
        let found = self.prefixes.iter().filter(|(prefix, _)| name.len() > prefix.len() && name.starts_with(prefix));
        let (prefix, index) = found.max_by_key(|(prefix, _)| prefix.len())?;
        Some((*index, &name[prefix.len()..]))
    }

    fn entry(&mut self, name: &str) -> usize {
        if let Some(known) = self.entries.iter().position(|entry| *entry.name == *name.as_bytes()) {
            return known;
        }
        self.entries.push(Entry { name: name.as_bytes().into(), slot: None, level: None });
        self.table = vec![0; (self.entries.len() * 2).next_power_of_two()];
        let mask = self.table.len() - 1;
        for (index, entry) in self.entries.iter().enumerate() {
            let mut at = hash(&entry.name) & mask;
            while self.table[at] != 0 {
                at = (at + 1) & mask;
            }
            self.table[at] = u16::try_from(index + 1).expect("a mapping reads fewer members than its bound");
        }
        self.entries.len() - 1
    }
}

/// Names are short and chosen by the mapping; a sender cannot make them collide with more than a few of those.
#[inline]
fn hash(name: &[u8]) -> usize {
    let mixed = name.iter().fold(name.len() as u64, |hash, byte| {
        (hash.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (mixed >> 32) as usize
}
