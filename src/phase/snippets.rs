//! The totals of each snippet since the start of the service, over all configurations.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use logphase_queue::metric::{Cell, Histogram};
use logphase_script::Stop;

/// If there are more snippets, those that are in no program any more are removed, and again when there are twice as many as
/// were left.
const MAX_SNIPPETS: usize = 10_000;

/// The totals of one snippet.
#[derive(Debug, Default)]
pub struct SnippetTotals {
    pub(super) errors: AtomicU64,
    /// By budget, in the order of [`Stop::ALL`].
    pub(super) stops: [AtomicU64; Stop::ALL.len()],
    pub(super) skipped: AtomicU64,
    /// Runs that called something without effect on a finished transaction, and how many of them called what.
    no_effect_runs: AtomicU64,
    no_effect: Mutex<BTreeMap<String, u64>>,
    /// Durations of the measured runs, with a cell for each worker.
    times: Mutex<Vec<(usize, Arc<Cell>)>>,
}

impl SnippetTotals {
    /// The number of failures.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// The number of runs that were stopped because they exceeded `budget`.
    pub fn stops(&self, budget: Stop) -> u64 {
        self.stops[budget as usize].load(Ordering::Relaxed)
    }

    /// The number of runs that were skipped because the snippet was suspended.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// The number of runs that called something without effect on a finished transaction.
    pub fn no_effect_runs(&self) -> u64 {
        self.no_effect_runs.load(Ordering::Relaxed)
    }

    /// What was called without effect, each with the number of runs that did so.
    pub fn no_effect(&self) -> BTreeMap<String, u64> {
        self.no_effect.lock().clone()
    }

    /// Counts one run that called `names`, each once.
    #[cold]
    pub(super) fn add_no_effect(&self, names: &[Rc<str>]) {
        self.no_effect_runs.fetch_add(1, Ordering::Relaxed);
        let mut counts = self.no_effect.lock();
        for name in names {
            match counts.get_mut(&**name) {
                Some(count) => *count += 1,
                None => drop(counts.insert(name.to_string(), 1)),
            }
        }
    }

    /// Durations of the measured runs.
    pub fn times(&self) -> Histogram {
        let mut sum = Histogram::default();
        self.times.lock().iter().for_each(|(_, cell)| sum.add(&cell.read()));
        sum
    }

    /// The cell in which worker number `worker` records durations.
    pub(super) fn cell(&self, worker: usize) -> Arc<Cell> {
        let mut cells = self.times.lock();
        if let Some((_, cell)) = cells.iter().find(|(number, _)| *number == worker) {
            return cell.clone();
        }
        let cell = Arc::<Cell>::default();
        cells.push((worker, cell.clone()));
        cell
    }
}

/// Identifies a snippet over all configurations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnippetKey {
    /// The plugin's name.
    pub plugin: &'static str,
    /// The plugin's id.
    pub id: String,
    /// The field's key, or the function's place in its list.
    pub field: String,
}

/// The snippets of all configurations that were accepted so far, for `/metrics`.
#[derive(Debug, Default)]
pub struct SnippetRegistry {
    snippets: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    by_key: BTreeMap<SnippetKey, Registered>,
    /// How many were left when some were removed.
    left: usize,
}

#[derive(Debug)]
struct Registered {
    instance: Option<String>,
    totals: Arc<SnippetTotals>,
}

impl SnippetRegistry {
    /// The registered totals of a snippet, or new ones. Registers nothing.
    pub(super) fn find_or_new(&self, key: &SnippetKey) -> Arc<SnippetTotals> {
        self.snippets.lock().by_key.get(key).map_or_else(Arc::default, |known| known.totals.clone())
    }

    /// Registers `totals` under `key`, with the instance name of the plugin.
    pub(super) fn register(&self, key: SnippetKey, instance: Option<&str>, totals: &Arc<SnippetTotals>) {
        let mut registry = self.snippets.lock();
        if registry.by_key.len() >= MAX_SNIPPETS.max(2 * registry.left) {
            // Nothing else holds the totals of a snippet that is in no program.
            registry.by_key.retain(|_, known| Arc::strong_count(&known.totals) > 1);
            registry.left = registry.by_key.len();
        }
        registry.by_key.insert(key, Registered { instance: instance.map(str::to_owned), totals: totals.clone() });
    }

    /// Calls `visit` with each snippet, the instance name of its plugin, and its totals.
    pub fn each(&self, mut visit: impl FnMut(&SnippetKey, Option<&str>, &SnippetTotals)) {
        for (key, Registered { instance, totals }) in &self.snippets.lock().by_key {
            visit(key, instance.as_deref(), totals);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(field: &str) -> SnippetKey {
        SnippetKey { plugin: "file-log", id: "1".to_owned(), field: field.to_owned() }
    }

    fn register(registry: &SnippetRegistry, field: &str, instance: Option<&str>) -> Arc<SnippetTotals> {
        let totals = registry.find_or_new(&key(field));
        registry.register(key(field), instance, &totals);
        totals
    }

    /// Scenario: a snippet in two configurations, on two workers; then ten thousand others that are registered and removed
    /// while the first is still in a program.
    /// Guarantees: the snippet has the counts and durations of both configurations, and its newest instance name; when
    /// there are too many snippets, those in no program are removed, and no others.
    #[test]
    fn counts_outlive_configurations() {
        let registry = SnippetRegistry::default();
        let first = register(&registry, "a", None);
        first.errors.fetch_add(2, Ordering::Relaxed);
        first.cell(1).record(std::time::Duration::from_micros(5));
        drop(first);
        let second = register(&registry, "a", Some("mine"));
        second.cell(0).record(std::time::Duration::from_micros(7));
        second.cell(1).record(std::time::Duration::from_micros(9));
        assert_eq!((second.errors(), second.times().count()), (2, 3));
        (0..MAX_SNIPPETS).for_each(|number| drop(register(&registry, &number.to_string(), None)));
        let mut seen = Vec::new();
        registry.each(|key, instance, totals| {
            seen.push((key.field.clone(), instance.map(str::to_owned), totals.errors()));
        });
        assert!(seen.len() < MAX_SNIPPETS / 2, "{}", seen.len());
        assert!(seen.contains(&("a".to_owned(), Some("mine".to_owned()), 2)), "{seen:?}");
    }

    /// Scenario: lookups of a registered snippet and of one that is not registered.
    /// Guarantees: lookups do not change the registry.
    #[test]
    fn lookups_register_nothing() {
        let registry = SnippetRegistry::default();
        let known = register(&registry, "a", Some("old"));
        assert!(Arc::ptr_eq(&registry.find_or_new(&key("a")), &known));
        assert!(!Arc::ptr_eq(&registry.find_or_new(&key("b")), &known));
        let mut seen = Vec::new();
        registry.each(|key, instance, _| seen.push((key.field.clone(), instance.map(str::to_owned))));
        assert_eq!(seen, [("a".to_owned(), Some("old".to_owned()))]);
    }
}
