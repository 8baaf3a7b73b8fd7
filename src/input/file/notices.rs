//! The system's notices of changes in directories (inotify), where it has them.
//!
//! They only make it quicker to see a change: network file systems give none, and a full queue of the system loses them. What
//! must be seen is seen by the regular look at the directories.

use std::path::{Path, PathBuf};

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Files that have new bytes, perhaps more than once.
    pub(super) written: Vec<PathBuf>,
    /// Whether names have come or gone, or more was lost than is known.
    pub(super) names: bool,
}

#[cfg(target_os = "linux")]
mod system {
    use std::collections::HashMap;
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt;

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
    use tokio::net::unix::pipe;

    use super::{Changes, Path, PathBuf};

    /// Directories that are watched, at most.
    const MAX_DIRECTORIES: usize = 1024;

    /// Bytes of notices that are read at once; inotify(7) wants room for one with the longest name.
    const BUFFER: usize = 16 << 10;

    /// Bytes of a notice without its name.
    const HEADER: usize = 16;

    /// Watches directories.
    pub(in super::super) struct Notices {
        // Tokio reads the queue like a pipe. Its type for other descriptors cannot be made without `unsafe`.
        queue: Option<pipe::Receiver>,
        directories: HashMap<i32, PathBuf>,
    }

    impl Notices {
        /// Watches nothing yet. Must be called within a Tokio runtime.
        pub(in super::super) fn new() -> Self {
            let open = || {
                let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
                pipe::Receiver::from_owned_fd_unchecked(queue)
            };
            let queue = open().inspect_err(|error: &io::Error| {
                tracing::info!(
                    "no notices of changes in directories ({error}): files are looked at every poll_interval"
                );
            });
            Self { queue: queue.ok(), directories: HashMap::new() }
        }

        /// Watches `directory`, too. Does nothing for one that is watched, or if that is not possible.
        pub(in super::super) fn watch(&mut self, directory: &Path) {
            let Some(queue) = &self.queue else { return };
            if self.directories.len() >= MAX_DIRECTORIES || self.directories.values().any(|known| known == directory) {
                return;
            }
            let flags = WatchFlags::CREATE
                | WatchFlags::MODIFY
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR;
            let here = directory.as_os_str().is_empty();
            let place = if here { Path::new(".") } else { directory };
            if let Ok(watch) = inotify::add_watch(queue, place, flags) {
                self.directories.insert(watch, directory.to_owned());
            }
        }

        /// Waits for changes. Cancel-safe.
        pub(in super::super) async fn next(&mut self) -> Changes {
            let Some(queue) = &self.queue else { return std::future::pending().await };
            loop {
                if queue.readable().await.is_err() {
                    return std::future::pending().await;
                }
                let mut buffer = [0; BUFFER];
                let Ok(read) = queue.try_read(&mut buffer) else { continue };
                let mut changes = Changes::default();
                let gone = note(&buffer[..read], &self.directories, &mut changes);
                for watch in gone {
                    if self.directories.remove(&watch).is_some() {
                        let _ = inotify::remove_watch(queue, watch);
                    }
                }
                if changes != Changes::default() {
                    return changes;
                }
            }
        }
    }

    /// Notes what `notices` say, each of which is a `struct inotify_event` and its name, padded with zeros. Returns the watches
    /// whose directory is gone.
    fn note(mut notices: &[u8], directories: &HashMap<i32, PathBuf>, changes: &mut Changes) -> Vec<i32> {
        let mut gone = Vec::new();
        while let Some((header, rest)) = notices.split_at_checked(HEADER) {
            let field = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let (watch, flags) = (field(0).cast_signed(), ReadFlags::from_bits_retain(field(4)));
            let Some((name, rest)) = rest.split_at_checked(field(12) as usize) else { break };
            notices = rest;
            if flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED) {
                gone.push(watch);
            }
            let name = OsStr::from_bytes(name.split(|byte| *byte == 0).next().unwrap_or_default());
            match directories.get(&watch) {
                Some(directory) if flags.contains(ReadFlags::MODIFY) && !name.is_empty() => {
                    let path = directory.join(name);
                    if changes.written.last() != Some(&path) {
                        changes.written.push(path);
                    }
                }
                // Also that the system has lost some.
                _ => changes.names = true,
            }
        }
        gone
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Changes, Path};

    /// This system has none.
    pub(in super::super) struct Notices;

    impl Notices {
        pub(in super::super) fn new() -> Self {
            Self
        }

        pub(in super::super) fn watch(&mut self, _: &Path) {}

        pub(in super::super) async fn next(&mut self) -> Changes {
            std::future::pending().await
        }
    }
}

pub(super) use system::Notices;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn next(notices: &mut Notices) -> Changes {
        tokio::time::timeout(Duration::from_secs(30), notices.next()).await.expect("a notice")
    }

    /// Scenario: in a watched directory a file is created, written and renamed; then the directory is removed.
    /// Guarantees: what was written is told by its path, and that names have changed.
    #[tokio::test]
    async fn changes_are_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        let mut notices = Notices::new();
        notices.watch(home.path());
        notices.watch(home.path());
        std::fs::write(&path, "").unwrap();
        assert_eq!(next(&mut notices).await, Changes { written: vec![], names: true });
        std::fs::write(&path, "x").unwrap();
        // Opening truncates, which is a change of its own.
        let changes = next(&mut notices).await;
        assert_eq!((changes.written, changes.names), (vec![path.clone()], false));
        std::fs::rename(&path, home.path().join("b")).unwrap();
        assert!(next(&mut notices).await.names);
        drop(home);
        assert!(next(&mut notices).await.names);
        let rest = tokio::time::timeout(Duration::from_millis(50), notices.next()).await;
        assert!(rest.is_err() || rest.is_ok_and(|changes| changes.names));
    }
}
