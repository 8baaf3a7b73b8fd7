//! Detects changes of the files of a configuration.
//!
//! Compares digests of the contents about once a second. File system events (inotify) are not sufficient: a ConfigMap update
//! replaces a link two levels up, editors write another file and rename it, and network file systems send no events. The
//! files are small, so reading them is cheap.

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use logphase_io::file::{self, Accept, MAX_TEXT};

use crate::settings;

/// How long a file may be missing before that is reported.
const MISSING_GRACE: Duration = Duration::from_secs(5);
/// How soon a change is checked again.
const RECHECK_PAUSE: Duration = Duration::from_millis(200);

/// The contents of each file, or why it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents(Vec<Content>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Digest([u8; 32]),
    // As text, so that equal errors are equal contents.
    Unreadable(String),
    Absent,
    // A pipe or a device: reading would consume its data.
    Stream,
}

impl Contents {
    /// Reads `files`. Follows links.
    pub fn read(files: &[PathBuf]) -> Self {
        Self(files.iter().map(|file| content(read(file))).collect())
    }

    /// The first file that cannot be read but could be `before`, and why.
    fn missing<'a>(&'a self, before: &Self, files: &'a [PathBuf]) -> Option<(&'a PathBuf, &'a str)> {
        self.0.iter().zip(files).enumerate().find_map(|(at, (now, file))| match now {
            // A settings file is optional. A new one that cannot be read is an error to report, not to wait for.
            Content::Unreadable(_) | Content::Absent
                if matches!(before.0.get(at), Some(Content::Absent | Content::Unreadable(_))) =>
            {
                None
            }
            Content::Unreadable(why) => Some((file, why.as_str())),
            Content::Absent => Some((file, "it does not exist")),
            _ => None,
        })
    }

    /// The same, but with the earlier contents `before` of the first files, so that a change since then is noticed.
    #[must_use]
    pub fn beginning_with(mut self, before: Self) -> Self {
        self.0.iter_mut().zip(before.0).for_each(|(now, before)| *now = before);
        self
    }
}

/// The bytes of a file; `None` for a pipe or a device.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() || metadata.is_dir() {
        file::read(path, Accept::Regular, MAX_TEXT).map(Some)
    } else {
        Ok(None)
    }
}

fn content(read: io::Result<Option<Vec<u8>>>) -> Content {
    match read {
        Ok(None) => Content::Stream,
        Ok(Some(bytes)) => {
            let mut sum = [0; 32];
            sum.copy_from_slice(digest(&SHA256, &bytes).as_ref());
            Content::Digest(sum)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Absent,
        Err(error) => Content::Unreadable(error.to_string()),
    }
}

/// The files of a configuration, and their last known contents.
pub struct Watch {
    files: Vec<PathBuf>,
    /// The contents of the last reload, successful or not: a refused configuration is not tried again until it changes.
    tried: Contents,
    /// Different contents that have been read once.
    pending: Option<Contents>,
    missing: Option<Missing>,
    interval: Option<Duration>,
    /// When to read the files next.
    due: Option<tokio::time::Instant>,
}

/// A file is missing or cannot be read.
struct Missing {
    since: Instant,
    reported: bool,
}

impl Watch {
    /// Watches `files`, whose contents `tried` are known.
    pub fn new(files: Vec<PathBuf>, tried: Contents, settings: &settings::Reload) -> Self {
        let interval = settings.watch.then_some(settings.interval);
        Self { files, tried, pending: None, missing: None, interval, due: None }
    }

    /// The contents of the last reload.
    pub fn tried(&self) -> &Contents {
        &self.tried
    }

    /// The watched files.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Waits until the files have new contents that two reads in a row agree on. Cancel safe.
    pub async fn changed(&mut self) {
        let Some(interval) = self.interval else { return std::future::pending().await };
        loop {
            let pause = if self.pending.is_some() { interval.min(RECHECK_PAUSE) } else { interval };
            // Kept, so that cancelling often does not postpone the next read forever.
            let due = *self.due.get_or_insert_with(|| tokio::time::Instant::now() + pause);
            tokio::time::sleep_until(due).await;
            self.due = None;
            let files = self.files.clone();
            // On another thread: a disk that hangs must not block the runtime.
            let read = tokio::task::spawn_blocking(move || Contents::read(&files)).await;
            if read.is_ok_and(|contents| self.note(contents)) {
                return;
            }
        }
    }

    /// Compares newly read contents. Returns whether to reload.
    fn note(&mut self, now: Contents) -> bool {
        if let Some((file, why)) = now.missing(&self.tried, &self.files) {
            let missing = self.missing.get_or_insert(Missing { since: Instant::now(), reported: false });
            if missing.since.elapsed() < MISSING_GRACE {
                self.pending = None;
                return false;
            }
            // The new configuration may not name the file any more: the other files are tried.
            if !std::mem::replace(&mut missing.reported, true) {
                let file = file.display();
                tracing::warn!("{file} cannot be read ({why}): the active configuration stays until it can");
            }
        } else if self.missing.take().is_some_and(|missing| missing.reported) {
            tracing::info!("the files of the configuration can be read again");
        }
        if now == self.tried {
            self.pending = None;
            return false;
        }
        let settled = self.pending.as_ref() == Some(&now);
        self.pending = (!settled).then_some(now);
        settled
    }
}
