//! Notices that the files of a configuration have changed.
//!
//! What is in them is compared, by a digest, about once a second. Events of the file system (inotify) say too little: of
//! a mounted ConfigMap a link two levels up is exchanged, editors write beside and rename, and network disks tell nobody.
//! The files are small, so that reading them costs next to nothing.

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};

use crate::settings;

/// How long a file may be away before that is told.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon what was seen to be new is looked at again.
const SECOND_LOOK: Duration = Duration::from_millis(200);

/// What was in each file, and whether it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents(Vec<Content>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Digest([u8; 32]),
    // The reason as text: two errors of a kind are the same content.
    Unreadable(String),
    Absent,
    // A pipe or a device: who reads it takes what is in it.
    Stream,
}

impl Contents {
    /// Reads `files`, through links.
    pub fn read(files: &[PathBuf]) -> Self {
        Self(files.iter().map(|file| content(read(file))).collect())
    }

    /// The first file that is not to be had but was there `before`, and why.
    fn missing<'a>(&'a self, before: &Self, files: &'a [PathBuf]) -> Option<(&'a PathBuf, &'a str)> {
        self.0.iter().zip(files).enumerate().find_map(|(at, (now, file))| match now {
            // A settings file need not be there. One that comes and may not be read is a mistake to be shown, once, not
            // to be waited for.
            Content::Unreadable(_) | Content::Absent
                if matches!(before.0.get(at), Some(Content::Absent | Content::Unreadable(_))) =>
            {
                None
            }
            Content::Unreadable(why) => Some((file, why.as_str())),
            Content::Absent => Some((file, "it is not there")),
            _ => None,
        })
    }

    /// The same, but what was in the first files before: a change since then is new.
    #[must_use]
    pub fn beginning_with(mut self, before: Self) -> Self {
        self.0.iter_mut().zip(before.0).for_each(|(now, before)| *now = before);
        self
    }
}

/// The bytes of a file; none of what is no file.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let found = std::fs::metadata(path)?;
    if found.is_file() || found.is_dir() { std::fs::read(path).map(Some) } else { Ok(None) }
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

/// The files of a configuration, and what was last seen in them.
pub struct Watch {
    files: Vec<PathBuf>,
    /// What was last tried, taken or not: what is broken is not tried again until it changes.
    tried: Contents,
    /// What differs from that and was seen once.
    pending: Option<Contents>,
    away: Option<Away>,
    interval: Option<Duration>,
    /// When to look next.
    due: Option<tokio::time::Instant>,
}

/// A file is not there.
struct Away {
    since: Instant,
    told: bool,
}

impl Watch {
    /// Watches `files` from here on, of which `tried` is known.
    pub fn new(files: Vec<PathBuf>, tried: Contents, settings: &settings::Reload) -> Self {
        let interval = settings.watch.then_some(settings.interval);
        Self { files, tried, pending: None, away: None, interval, due: None }
    }

    /// What was last tried.
    pub fn tried(&self) -> &Contents {
        &self.tried
    }

    /// What is watched.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Waits until the files hold something new: two reads in a row have found the same. May be dropped at any time.
    pub async fn changed(&mut self) {
        let Some(interval) = self.interval else { return std::future::pending().await };
        loop {
            let pause = if self.pending.is_some() { interval.min(SECOND_LOOK) } else { interval };
            // Kept, so that whoever drops this often does not put the look off for ever.
            let due = *self.due.get_or_insert_with(|| tokio::time::Instant::now() + pause);
            tokio::time::sleep_until(due).await;
            self.due = None;
            let files = self.files.clone();
            // A disk that hangs shall hold up nothing else.
            let read = tokio::task::spawn_blocking(move || Contents::read(&files)).await;
            if read.is_ok_and(|contents| self.note(contents)) {
                return;
            }
        }
    }

    /// Compares what was read just now; whether it is to be tried.
    fn note(&mut self, now: Contents) -> bool {
        if let Some((file, why)) = now.missing(&self.tried, &self.files) {
            let away = self.away.get_or_insert(Away { since: Instant::now(), told: false });
            if away.since.elapsed() < PATIENCE {
                self.pending = None;
                return false;
            }
            // It may be named no longer: what is there is tried, and refused if it is.
            if !std::mem::replace(&mut away.told, true) {
                let file = file.display();
                tracing::warn!("{file} cannot be read ({why}): the configuration in force goes on until it can");
            }
        } else if self.away.take().is_some_and(|away| away.told) {
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
