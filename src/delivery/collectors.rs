//! Outputs of collectors that lines name: each is opened when the first line for its address comes.
//!
//! The addresses are recorded in the data directory, so that what the queues of an earlier run hold is delivered before another
//! line names the address.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use logphase_io::file::{self, Accept};
use logphase_queue::owner;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{Delivery, OpenError, Output, OutputSpec};

/// The file of the addresses, in the data directory.
const RECORD: &str = "collectors";
const NEW_RECORD: &str = "collectors.new";
/// Bytes of it that are read, at most.
const MAX_RECORD_BYTES: u64 = 4 << 20;

/// What a configuration says of an address.
type OfAddress<T> = Box<dyn Fn(&str) -> T + Send + Sync>;

/// What a configuration says of collectors.
pub struct CollectorRules {
    /// Whether lines may go to an address.
    pub is_allowed: OfAddress<bool>,
    /// The specification of the output of an address; why there is none.
    pub spec: OfAddress<Result<OutputSpec, String>>,
}

/// Why there is no output for an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CollectorError {
    /// No line may go there.
    #[error("lines may not go to {0}")]
    NotAllowed(String),
    /// As many others have lines that are not delivered.
    #[error("{0} collectors have lines that are not delivered yet, which is the limit")]
    TooMany(usize),
    /// Its queue or sink cannot be opened now.
    #[error("{0}")]
    NotOpened(String),
}

/// The output of a collector, for those that send lines to it.
pub struct Collector {
    /// Takes the lines.
    pub output: Arc<Output>,
    /// When it was last used, in milliseconds since the start.
    used: AtomicU64,
}

/// The collectors that lines name. Cheap to clone.
#[derive(Clone)]
pub struct Collectors {
    inner: Arc<Inner>,
}

struct Inner {
    delivery: Delivery,
    data_dir: PathBuf,
    /// Outputs that only lines name, at most.
    max: usize,
    start: Instant,
    rules: ArcSwap<CollectorRules>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// Those that the configuration names.
    configured: HashMap<String, Arc<Collector>>,
    /// Those that only lines have named.
    named: HashMap<String, Arc<Collector>>,
    /// Addresses of the last run whose queues are not open: they are not allowed.
    left: Vec<String>,
}

impl Open {
    fn all(&self) -> Vec<Arc<Output>> {
        self.named.values().map(|collector| collector.output.clone()).collect()
    }
}

impl Collectors {
    /// No collector yet, of at most `max` that only lines name.
    pub fn new(delivery: Delivery, data_dir: &Path, max: usize, rules: CollectorRules) -> Self {
        let (start, rules) = (Instant::now(), ArcSwap::from_pointee(rules));
        let (data_dir, open) = (data_dir.to_owned(), Mutex::default());
        Self { inner: Arc::new(Inner { delivery, data_dir, max, start, rules, open }) }
    }

    /// Whether lines may go to `address`.
    pub fn is_allowed(&self, address: &str) -> bool {
        (self.inner.rules.load().is_allowed)(address)
    }

    /// The output for `address`.
    ///
    /// # Errors
    /// Lines may not go there, there are too many, or it cannot be opened now.
    pub async fn collector(&self, address: &str) -> Result<Arc<Collector>, CollectorError> {
        let (inner, address) = (self.inner.clone(), address.to_owned());
        let opening = tokio::task::spawn_blocking(move || inner.collector(&address));
        opening.await.unwrap_or_else(|error| Err(CollectorError::NotOpened(error.to_string())))
    }

    /// Marks `collector` as used.
    pub fn touch(&self, collector: &Collector) {
        collector.used.store(self.inner.now(), Ordering::Relaxed);
    }

    /// Notified when a queue has room after a failed reservation.
    pub fn room(&self) -> Arc<tokio::sync::Notify> {
        self.inner.delivery.room()
    }

    /// Keeps lines from opening outputs while the configuration is replaced.
    pub fn hold(&self) -> Held<'_> {
        Held { inner: &self.inner, open: self.inner.open.lock() }
    }
}

/// The collectors while no line can open another one.
pub struct Held<'a> {
    inner: &'a Inner,
    open: MutexGuard<'a, Open>,
}

impl Held<'_> {
    /// The outputs that only lines have named.
    pub fn outputs(&self) -> Vec<Arc<Output>> {
        self.open.all()
    }

    /// Opens the queues of the last run that may have lines.
    pub fn open_recorded(&mut self) {
        let Inner { delivery, data_dir, max, .. } = self.inner;
        let rules = self.inner.rules.load_full();
        for address in recorded(data_dir) {
            let Ok(spec) = (rules.spec)(&address) else { continue };
            if self.open.configured.contains_key(&address) || !delivery.inner.store.has_folders(&spec) {
                continue;
            }
            if !(rules.is_allowed)(&address) || self.open.named.len() >= *max {
                self.open.left.push(address);
                continue;
            }
            match self.inner.open_output(spec) {
                Ok(output) => {
                    self.open.named.insert(address, self.inner.of(output));
                }
                Err(error) => {
                    tracing::error!(address, "what waits for the collector is not delivered: {error}");
                    self.open.left.push(address);
                }
            }
        }
    }

    /// Changes to another configuration, whose own outputs are `configured`. Outputs that only lines have named go on with its
    /// options. Returns those to be kept; [`Delivery::commit`] retires the others.
    pub fn replace(&mut self, rules: CollectorRules, configured: &[(String, Arc<Output>)]) -> Vec<Arc<Output>> {
        let rules = Arc::new(rules);
        let before = std::mem::take(&mut self.open.named);
        for (address, collector) in before {
            if configured.iter().any(|(known, _)| *known == address) {
                continue;
            }
            if !(rules.is_allowed)(&address) {
                self.open.left.push(address);
                continue;
            }
            let opened = (rules.spec)(&address)
                .and_then(|spec| self.inner.delivery.open(spec).map_err(|error| error.to_string()));
            let collector = match opened {
                Ok(output) if Arc::ptr_eq(&output, &collector.output) => collector,
                Ok(output) => self.inner.of(output),
                Err(error) => {
                    tracing::error!(address, "the collector's output goes on as it was: {error}");
                    collector
                }
            };
            self.open.named.insert(address, collector);
        }
        self.inner.rules.store(rules);
        self.set_configured(configured);
        self.open.all()
    }

    /// Says which collectors the configuration itself names.
    pub fn set_configured(&mut self, configured: &[(String, Arc<Output>)]) {
        let collector = |(address, output): &(String, Arc<Output>)| (address.clone(), self.inner.of(output.clone()));
        self.open.configured = configured.iter().map(collector).collect();
    }
}

impl Inner {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn of(&self, output: Arc<Output>) -> Arc<Collector> {
        Arc::new(Collector { output, used: AtomicU64::new(self.now()) })
    }

    /// Opens an output, and starts it.
    fn open_output(&self, spec: OutputSpec) -> Result<Arc<Output>, OpenError> {
        if spec.queue.is_on_disk() {
            let plugin = spec.plugin.clone();
            self.delivery.claim().map_err(|reason| OpenError::Queue { plugin, reason })?;
        }
        let output = self.delivery.open(spec)?;
        self.delivery.start(&output);
        Ok(output)
    }

    fn collector(&self, address: &str) -> Result<Arc<Collector>, CollectorError> {
        let mut open = self.open.lock();
        let known = open.configured.get(address).or_else(|| open.named.get(address));
        if let Some(known) = known.filter(|known| !known.output.is_closed()) {
            return Ok(known.clone());
        }
        let rules = self.rules.load_full();
        if !(rules.is_allowed)(address) {
            return Err(CollectorError::NotAllowed(address.to_owned()));
        }
        let not_opened = |error: &dyn std::fmt::Display| {
            CollectorError::NotOpened(format!("the output for {address} cannot be opened: {error}"))
        };
        let spec = (rules.spec)(address).map_err(|error| not_opened(&error))?;
        if !open.named.contains_key(address) {
            self.make_room(&mut open)?;
            self.record(&open, address).map_err(|error| not_opened(&error))?;
        }
        let output = self.open_output(spec).map_err(|error| not_opened(&error))?;
        let collector = self.of(output);
        open.left.retain(|left| left != address);
        open.named.insert(address.to_owned(), collector.clone());
        Ok(collector)
    }

    /// Makes room for one more, if need be by ending the one that has nothing to deliver and was not used for the longest time.
    fn make_room(&self, open: &mut Open) -> Result<(), CollectorError> {
        if open.named.len() < self.max {
            return Ok(());
        }
        let idle = open.named.iter().filter(|(_, collector)| collector.output.counters().is_idle());
        let oldest = idle.min_by_key(|(_, collector)| collector.used.load(Ordering::Relaxed));
        let address = oldest.map(|(address, _)| address.clone()).ok_or(CollectorError::TooMany(self.max))?;
        if let Some(collector) = open.named.remove(&address) {
            self.delivery.retire(&collector.output);
        }
        Ok(())
    }

    /// Records `address` with all others that may have lines.
    fn record(&self, open: &Open, address: &str) -> io::Result<()> {
        let mut addresses: Vec<&str> =
            open.named.keys().chain(&open.left).map(String::as_str).chain([address]).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
        let path = self.data_dir.join(NEW_RECORD);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        owner::give(&path)?;
        fs::rename(&path, self.data_dir.join(RECORD))?;
        File::open(&self.data_dir)?.sync_all()
    }
}

/// The addresses that were recorded.
fn recorded(data_dir: &Path) -> Vec<String> {
    let path = data_dir.join(RECORD);
    match file::read_to_string(&path, Accept::Regular, MAX_RECORD_BYTES) {
        Ok(text) => text.lines().map(str::to_owned).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::error!(
                "cannot read {}: {error}; the queues of collectors that it names wait for a line",
                path.display()
            );
            Vec::new()
        }
    }
}
