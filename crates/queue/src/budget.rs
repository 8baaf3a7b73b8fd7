//! What all queues of a process share: bounds on their bytes, and the notifications of waiting tasks.
//!
//! A bound has two halves. One is divided equally among the queues: the reserve of each. The other is shared: a queue uses
//! it for what it holds beyond its reserve. So a queue that is stuck leaves every other one its reserve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use tokio::sync::Notify;

/// A bound on the bytes that all queues of the process hold and have reserved together.
#[derive(Debug)]
pub struct Budget {
    max_bytes: usize,
    used: AtomicUsize,
    /// What the accounts use of the shared half.
    charged: AtomicUsize,
    /// The open accounts.
    accounts: Mutex<usize>,
    /// The bytes that each account can acquire whatever the others hold.
    reserve: AtomicUsize,
    /// The bytes of the shared half: what is no account's reserve.
    shared: AtomicUsize,
    // Set when an acquisition fails, so that the next release wakes the waiting tasks, whichever queue they use.
    starved: AtomicBool,
}

impl Budget {
    /// The default bound in bytes: 128 MiB.
    pub const DEFAULT_BYTES: usize = 128 << 20;

    /// A budget of `max_bytes` bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            used: AtomicUsize::new(0),
            charged: AtomicUsize::new(0),
            accounts: Mutex::new(0),
            reserve: AtomicUsize::new(max_bytes / 2),
            shared: AtomicUsize::new(max_bytes - max_bytes / 2),
            starved: AtomicBool::new(false),
        }
    }

    /// The bound in bytes.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Bytes in use. May exceed the bound by what had to be acquired in any case, and after a queue was opened by its
    /// reserve, until the other queues have released what is not theirs any more.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// Opens an account. The reserves of the others become smaller.
    pub(super) fn open(self: &Arc<Self>) -> Account {
        self.change_accounts(|accounts| accounts + 1);
        Account { budget: self.clone(), held: 0, charged: 0, is_open: true }
    }

    fn change_accounts(&self, change: impl FnOnce(usize) -> usize) {
        let mut accounts = self.accounts.lock();
        *accounts = change(*accounts);
        let shares = (*accounts).max(1);
        let reserve = self.max_bytes / 2 / shares;
        self.reserve.store(reserve, Ordering::SeqCst);
        self.shared.store(self.max_bytes - reserve * shares, Ordering::SeqCst);
    }

    fn reserve(&self) -> usize {
        self.reserve.load(Ordering::SeqCst)
    }

    fn shared(&self) -> usize {
        self.shared.load(Ordering::SeqCst)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES)
    }
}

/// What one queue holds of a [`Budget`]. The lock of the queue protects it.
#[derive(Debug)]
pub(super) struct Account {
    budget: Arc<Budget>,
    held: usize,
    /// What it uses of the shared half. Brought up to date at each change of the account.
    charged: usize,
    is_open: bool,
}

impl Account {
    /// The bytes that it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// The most that it can acquire while the others hold nothing.
    pub(super) fn most(&self) -> usize {
        self.budget.reserve() + self.budget.shared()
    }

    /// Whether it uses the shared half, and more than half of the budget is in use.
    pub(super) fn is_pressing(&self) -> bool {
        self.charged > 0 && self.budget.used() > self.budget.max_bytes / 2
    }

    /// Whether it is one of those that exceed the budget.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.charged > 0 && self.budget.charged.load(Ordering::SeqCst) > self.budget.shared()
    }

    /// Acquires `bytes` if they fit into the reserve and the shared half; otherwise remembers that a task waits.
    pub(super) fn try_acquire(&mut self, bytes: usize) -> bool {
        let Some(held) = self.held.checked_add(bytes) else { return false };
        if !self.try_charge(held) {
            // Checked again after the mark is set: bytes that were released in between have woken nobody.
            self.budget.starved.store(true, Ordering::SeqCst);
            if !self.try_charge(held) {
                return false;
            }
        }
        self.held = held;
        self.budget.used.fetch_add(bytes, Ordering::SeqCst);
        true
    }

    /// Acquires `bytes` even if they exceed the bound.
    pub(super) fn acquire(&mut self, bytes: usize) {
        self.held = self.held.saturating_add(bytes);
        self.charge();
        self.budget.used.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Releases `bytes`. True if a task waits for them, which is to be woken.
    #[must_use]
    pub(super) fn release(&mut self, bytes: usize) -> bool {
        debug_assert!(bytes <= self.held, "only what is held is released");
        let bytes = bytes.min(self.held);
        if bytes == 0 {
            return false;
        }
        self.held -= bytes;
        self.charge();
        self.budget.used.fetch_sub(bytes, Ordering::SeqCst);
        self.budget.starved.swap(false, Ordering::SeqCst)
    }

    /// Makes it hold `bytes`, even if they exceed the bound. True if a task waits, which is to be woken.
    #[must_use]
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        if bytes > self.held {
            self.acquire(bytes - self.held);
            return false;
        }
        self.release(self.held - bytes)
    }

    /// Releases everything, and leaves its reserve to the others. True if a task waits, which is to be woken.
    pub(super) fn close(&mut self) -> bool {
        if !std::mem::take(&mut self.is_open) {
            return false;
        }
        let starved = self.set(0);
        self.budget.change_accounts(|accounts| accounts - 1);
        self.budget.starved.swap(false, Ordering::SeqCst) || starved
    }

    /// Charges what it would hold beyond its reserve, if that fits.
    fn try_charge(&mut self, held: usize) -> bool {
        let charge = held.saturating_sub(self.budget.reserve());
        if charge > self.charged {
            let (more, shared) = (charge - self.charged, self.budget.shared());
            let grown = |charged: usize| charged.checked_add(more).filter(|&sum| sum <= shared);
            if self.budget.charged.fetch_update(Ordering::SeqCst, Ordering::SeqCst, grown).is_err() {
                return false;
            }
            self.charged = charge;
        } else {
            self.lower_charge(charge);
        }
        true
    }

    /// Charges what it holds beyond its reserve.
    fn charge(&mut self) {
        let charge = self.held.saturating_sub(self.budget.reserve());
        if charge > self.charged {
            self.budget.charged.fetch_add(charge - self.charged, Ordering::SeqCst);
            self.charged = charge;
        } else {
            self.lower_charge(charge);
        }
    }

    fn lower_charge(&mut self, charge: usize) {
        if charge < self.charged {
            self.budget.charged.fetch_sub(self.charged - charge, Ordering::SeqCst);
            self.charged = charge;
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.close();
    }
}

/// The notifications of all queues of a process.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// Notified when there is room after a failed reservation.
    pub room: Arc<Notify>,
    /// Notified when a queue becomes empty.
    pub idle: Arc<Notify>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Action {
        Open,
        Close(usize),
        TryAcquire(usize, usize),
        Acquire(usize, usize),
        Release(usize, usize),
        /// All accounts change, by nothing.
        Settle,
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            1 => Just(Action::Open),
            1 => any::<usize>().prop_map(Action::Close),
            8 => (any::<usize>(), 0usize..400).prop_map(|(at, bytes)| Action::TryAcquire(at, bytes)),
            1 => (any::<usize>(), 0usize..100).prop_map(|(at, bytes)| Action::Acquire(at, bytes)),
            4 => (any::<usize>(), 0usize..300).prop_map(|(at, bytes)| Action::Release(at, bytes)),
            1 => Just(Action::Settle),
        ]
    }

    fn settle(accounts: &mut [Account]) {
        for account in accounts {
            let held = account.held();
            let _ = account.set(held);
            account.charge();
        }
    }

    proptest! {
        /// Scenario: accounts are opened and closed, and acquire and release any number of bytes, forced or not.
        /// Guarantees: an account that is refused would hold more than its reserve, and then the shared half is used up;
        /// without forced acquisitions and with the same accounts from the start, the total stays within the bound; the
        /// budget knows every byte; the next release or closing after a refusal wakes; at the end all is zero.
        #[test]
        fn every_account_has_its_reserve(
            max_bytes in 0usize..1000,
            actions in prop::collection::vec(action(), 1..120),
            fixed in any::<bool>(),
        ) {
            let budget = Arc::new(Budget::new(max_bytes));
            let mut accounts: Vec<Account> = (0..3).map(|_| budget.open()).collect();
            let mut starved = false;
            for action in actions {
                let count = accounts.len();
                match action {
                    Action::Open | Action::Close(_) | Action::Acquire(..) if fixed => {}
                    Action::Open => accounts.push(budget.open()),
                    Action::Close(at) if count > 0 => {
                        let woken = accounts.remove(at % count).close();
                        prop_assert!(woken || !starved, "those refused may have more room");
                        starved = false;
                    }
                    Action::TryAcquire(at, bytes) if count > 0 => {
                        let account = &mut accounts[at % count];
                        let wanted = account.held() + bytes;
                        if !account.try_acquire(bytes) {
                            let beyond = wanted.saturating_sub(max_bytes / 2 / count);
                            prop_assert!(beyond > 0, "within its reserve");
                            let more = beyond - account.charged;
                            prop_assert!(budget.charged.load(Ordering::SeqCst) + more > budget.shared());
                            starved = true;
                        }
                    }
                    Action::Acquire(at, bytes) if count > 0 => accounts[at % count].acquire(bytes),
                    Action::Release(at, bytes) if count > 0 => {
                        let account = &mut accounts[at % count];
                        let bytes = bytes.min(account.held());
                        let woken = account.release(bytes);
                        prop_assert_eq!(woken, starved && bytes > 0);
                        starved &= !woken;
                    }
                    Action::Settle => settle(&mut accounts),
                    _ => {}
                }
                prop_assert_eq!(budget.used(), accounts.iter().map(Account::held).sum::<usize>());
                prop_assert_eq!(
                    budget.charged.load(Ordering::SeqCst),
                    accounts.iter().map(|account| account.charged).sum::<usize>()
                );
                prop_assert!(!fixed || budget.used() <= max_bytes);
            }
            settle(&mut accounts);
            let reserve = budget.reserve();
            for account in &accounts {
                prop_assert_eq!(account.charged, account.held().saturating_sub(reserve));
            }
            drop(accounts);
            let left = [&budget.used, &budget.charged].map(|count| count.load(Ordering::SeqCst));
            prop_assert_eq!((left, *budget.accounts.lock()), ([0; 2], 0));
        }
    }
}
