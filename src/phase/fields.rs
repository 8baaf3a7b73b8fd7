//! What each snippet has done since the start, over all the configurations that had it: a reload makes the program anew,
//! and its counts go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use logphase_queue::metric::{Cell, Histogram};
use logphase_script::Stop;

/// Snippets that are remembered beyond those of the configuration in force.
const GONE: usize = 10_000;

/// What one snippet has done.
#[derive(Debug, Default)]
pub struct Totals {
    pub(super) count: AtomicU64,
    /// By budget, as [`Stop::ALL`] has them.
    pub(super) stops: [AtomicU64; Stop::ALL.len()],
    /// How often it was not run because it is suspended.
    pub(super) skipped: AtomicU64,
    /// How long it took, as far as it was measured: a cell for each worker.
    times: Mutex<Vec<(usize, Arc<Cell>)>>,
}

impl Totals {
    /// How often it failed.
    pub fn errors(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How often it ran out of `budget`.
    pub fn stops(&self, budget: Stop) -> u64 {
        self.stops[budget as usize].load(Ordering::Relaxed)
    }

    /// How often it was left out because it is suspended.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// How long those of its runs took that were measured.
    pub fn times(&self) -> Histogram {
        let mut all = Histogram::default();
        self.cells().iter().for_each(|(_, cell)| all.add(&cell.read()));
        all
    }

    /// Where worker number `worker` notes times.
    pub(super) fn cell(&self, worker: usize) -> Arc<Cell> {
        let mut cells = self.cells();
        if let Some((_, cell)) = cells.iter().find(|(number, _)| *number == worker) {
            return cell.clone();
        }
        let cell = Arc::<Cell>::default();
        cells.push((worker, cell.clone()));
        cell
    }

    fn cells(&self) -> MutexGuard<'_, Vec<(usize, Arc<Cell>)>> {
        self.times.lock()
    }
}

/// Which snippet: of which plugin, and where its value goes (or which of a function's list it is).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// The plugin's name.
    pub plugin: &'static str,
    /// The plugin's id.
    pub id: String,
    /// The field's key, or the function's place in its list.
    pub field: String,
}

/// The snippets of all configurations so far.
#[derive(Debug, Default)]
pub struct Fields {
    known: Mutex<BTreeMap<Field, Known>>,
}

#[derive(Debug)]
struct Known {
    instance: Option<String>,
    totals: Arc<Totals>,
}

impl Fields {
    /// The totals of a snippet, from now on under this instance name.
    pub(super) fn totals(&self, field: Field, instance: Option<&str>) -> Arc<Totals> {
        let mut known = self.lock();
        if known.len() >= GONE {
            // Nobody else holds what no program has any more.
            known.retain(|_, known| Arc::strong_count(&known.totals) > 1);
        }
        let known = known.entry(field).or_insert_with(|| Known { instance: None, totals: Arc::default() });
        known.instance = instance.map(str::to_owned);
        known.totals.clone()
    }

    /// Calls `see` with each snippet, the instance name of its plugin, and its totals.
    pub fn each(&self, mut see: impl FnMut(&Field, Option<&str>, &Totals)) {
        for (field, Known { instance, totals }) in self.lock().iter() {
            see(field, instance.as_deref(), totals);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Field, Known>> {
        self.known.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(field: &str) -> Field {
        Field { plugin: "file-log", id: "1".to_owned(), field: field.to_owned() }
    }

    /// Scenario: a snippet over two configurations, on two workers; ten thousand that come and go, one of which is still
    /// in a program.
    /// Guarantees: it is one with all of its counts and times, under its newest instance name; those that are gone are
    /// forgotten when they are too many, and no other.
    #[test]
    fn snippets_go_on() {
        let fields = Fields::default();
        let first = fields.totals(field("a"), None);
        first.count.fetch_add(2, Ordering::Relaxed);
        first.cell(1).record(std::time::Duration::from_micros(5));
        drop(first);
        let second = fields.totals(field("a"), Some("mine"));
        second.cell(0).record(std::time::Duration::from_micros(7));
        second.cell(1).record(std::time::Duration::from_micros(9));
        assert_eq!((second.errors(), second.times().count()), (2, 3));
        (0..GONE).for_each(|number| drop(fields.totals(field(&number.to_string()), None)));
        let mut seen = Vec::new();
        fields.each(|field, instance, totals| {
            seen.push((field.field.clone(), instance.map(str::to_owned), totals.errors()))
        });
        assert!(seen.len() < GONE / 2, "{}", seen.len());
        assert!(seen.contains(&("a".to_owned(), Some("mine".to_owned()), 2)), "{seen:?}");
    }
}
