//! Values that are read from files, and again when the files change.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use logphase_net::ConfigError;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// What of a file changes when it is replaced or written.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// A value that is read from files.
pub(super) struct Watched<T> {
    /// The setting that names the files, for the log.
    setting: String,
    files: Vec<PathBuf>,
    load: Load<T>,
    current: ArcSwap<T>,
}

/// Reads the value.
type Load<T> = Arc<dyn Fn() -> Result<Arc<T>, ConfigError> + Send + Sync>;

impl<T: Send + Sync + 'static> Watched<T> {
    /// The value that `load` reads from `files`, which `setting` names.
    ///
    /// # Errors
    /// That of `load`.
    pub(super) fn open(
        setting: String,
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<Arc<T>, ConfigError> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let current = ArcSwap::new(load()?);
        Ok(Self { setting, files, load: Arc::new(load), current })
    }

    /// The value as it was read last.
    pub(super) fn get(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Reads the value again when a file changes, until `stopped`. A value that cannot be read is reported, and the one before
    /// it stays.
    pub(super) async fn watch(&self, stopped: impl Future<Output = ()>) {
        tokio::pin!(stopped);
        let mut read = self.stamps().await;
        // Files that cannot be used: they are tried twice, as several of them may be replaced one after the other.
        let mut failed: Option<Vec<Stamp>> = None;
        loop {
            tokio::select! {
                () = &mut stopped => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let now = self.stamps().await;
            if now == read {
                continue;
            }
            let load = self.load.clone();
            let loaded = tokio::task::spawn_blocking(move || load()).await;
            match loaded {
                Ok(Ok(value)) => {
                    self.current.store(value);
                    tracing::info!("{}: the files have changed and are read again", self.setting);
                    (read, failed) = (now, None);
                }
                Ok(Err(error)) if failed.as_ref() == Some(&now) => {
                    tracing::error!(
                        "{}: the files have changed and cannot be used; what was read before stays in use: {error}",
                        self.setting
                    );
                    (read, failed) = (now, None);
                }
                _ => failed = Some(now),
            }
        }
    }

    async fn stamps(&self) -> Vec<Stamp> {
        let files = self.files.clone();
        let stamp = |found: Metadata| (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec());
        let read = move || files.iter().map(|path| std::fs::metadata(path).ok().map(stamp)).collect();
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }
}
