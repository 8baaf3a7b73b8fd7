//! Which members of a mapping its transactions had: a name that none ever has is a typing mistake, in the proxy's format or in
//! the mapping.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Transactions after which a member that none had is reported.
pub(super) const ENOUGH: u64 = 1000;

/// Names of unread members that are remembered.
const MAX_UNREAD: usize = 16;

/// Bytes of such a name that are remembered.
const MAX_NAME_BYTES: usize = 64;

/// What the transactions of one mapping had. Updated by every connection; a line with nothing new costs a few reads.
#[derive(Debug)]
pub(super) struct Seen {
    transactions: AtomicU64,
    present: Box<[AtomicU64]>,
    unreadable: Box<[AtomicU64]>,
    unread: Mutex<Vec<String>>,
    unread_full: AtomicBool,
}

impl Seen {
    /// Nothing yet of `count` members.
    pub(super) fn new(count: usize) -> Self {
        let bits = || (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self {
            transactions: AtomicU64::new(0),
            present: bits(),
            unreadable: bits(),
            unread: Mutex::default(),
            unread_full: AtomicBool::new(false),
        }
    }

    /// Whether names of unread members are wanted.
    pub(super) fn wants_unread(&self) -> bool {
        !self.unread_full.load(Ordering::Relaxed) && self.transactions() < ENOUGH
    }

    /// Notes what one transaction had.
    pub(super) fn record(&self, present: &[u64], unreadable: &[u64], unread: Vec<String>) {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        for (seen, bits) in [(&self.present, present), (&self.unreadable, unreadable)] {
            for (seen, bits) in seen.iter().zip(bits) {
                if seen.load(Ordering::Relaxed) | bits != seen.load(Ordering::Relaxed) {
                    seen.fetch_or(*bits, Ordering::Relaxed);
                }
            }
        }
        if unread.is_empty() {
            return;
        }
        let mut known = self.unread.lock();
        for mut name in unread {
            let mut end = name.len().min(MAX_NAME_BYTES);
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name.truncate(end);
            if known.len() >= MAX_UNREAD {
                self.unread_full.store(true, Ordering::Relaxed);
                return;
            }
            if !known.contains(&name) {
                known.push(name);
            }
        }
    }

    /// The transactions so far.
    pub(super) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Whether a transaction had the member with the number `id`.
    pub(super) fn has(&self, id: usize) -> bool {
        self.present[id / 64].load(Ordering::Relaxed) & (1 << (id % 64)) != 0
    }

    /// Whether the member with the number `id` had a value that its rule cannot read.
    pub(super) fn is_unreadable(&self, id: usize) -> bool {
        self.unreadable[id / 64].load(Ordering::Relaxed) & (1 << (id % 64)) != 0
    }

    /// Names of members that the first transactions had and nothing reads.
    pub(super) fn unread(&self) -> Vec<String> {
        self.unread.lock().clone()
    }
}
