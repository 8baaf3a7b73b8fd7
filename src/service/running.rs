//! Where the services of this user run, so that commands find them without being told the data directory.
//!
//! Each service leaves a symbolic link to its data directory, named after its process, in a directory of the user. Its file rules let
//! it write nowhere else later, so the link stays when it ends; whoever looks next removes it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, geteuid, test_kill_process};

use crate::api::control_path;
use crate::socket_file;

/// The directory of the links: systemd's `RUNTIME_DIRECTORY`; else `/run/logphase` for root, and for others `logphase` in
/// `$XDG_RUNTIME_DIR`, or `/tmp/logphase-UID`.
fn directory() -> PathBuf {
    let named = std::env::var("RUNTIME_DIRECTORY").unwrap_or_default();
    // systemd separates several by colons.
    if let Some(first) = named.split(':').next().filter(|first| first.starts_with('/')) {
        return first.into();
    }
    let user = geteuid();
    if user.is_root() {
        return "/run/logphase".into();
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    runtime.map_or_else(
        || std::env::temp_dir().join(format!("logphase-{}", user.as_raw())),
        |runtime| runtime.join("logphase"),
    )
}

/// Leaves a link to `data_dir` for the commands `queue`, `tap` and `top`, before the process may write its own files alone.
///
/// # Errors
/// The directory of the links cannot be written, or belongs to somebody else.
pub fn announce(data_dir: &Path) -> io::Result<()> {
    announce_in(&directory(), data_dir)
}

/// The data directories of the services of this user that answer.
pub fn data_dirs() -> Vec<PathBuf> {
    data_dirs_in(&directory())
}

fn announce_in(directory: &Path, data_dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    check_owner(directory)?;
    links(directory).for_each(drop);
    let link = directory.join(std::process::id().to_string());
    // One of an earlier process with the same number.
    let _ = fs::remove_file(&link);
    symlink(std::path::absolute(data_dir)?, link)
}

fn data_dirs_in(directory: &Path) -> Vec<PathBuf> {
    if check_owner(directory).is_err() {
        return Vec::new();
    }
    let answers = |data_dir: &PathBuf| socket_file::connect(&control_path(data_dir)).is_ok();
    let mut found: Vec<PathBuf> = links(directory).filter(answers).collect();
    found.sort();
    found.dedup();
    found
}

/// Where the links of the processes that run point to. Removes those of others.
fn links(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| {
        let process = file.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        if test_kill_process(process).is_err() {
            let _ = fs::remove_file(file.path());
            return None;
        }
        fs::read_link(file.path()).ok()
    })
}

/// In a shared directory like `/tmp`, another user may have made it first.
fn check_owner(directory: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(directory)?;
    if found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "others can write to it"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Scenario: two services with links, of which one listens; a link of a process that has ended; a directory that others can
    /// write to.
    /// Guarantees: the one that listens is found, the old link is removed, and the directory of others is neither read nor
    /// written.
    #[test]
    fn services_that_listen_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let (links, data) = (folder.path().join("links"), folder.path().join("data"));
        assert_eq!(data_dirs_in(&links), Vec::<PathBuf>::new());
        fs::create_dir(&data).expect("created");
        announce_in(&links, &data).expect("announced");
        assert_eq!(data_dirs_in(&links), Vec::<PathBuf>::new(), "nothing listens");
        let listener = UnixListener::bind(control_path(&data)).expect("listens");
        assert_eq!(data_dirs_in(&links), std::slice::from_ref(&data));
        // The highest process number of Linux is far below it.
        let old = links.join("999999999");
        symlink(&data, &old).expect("linked");
        assert_eq!(data_dirs_in(&links), std::slice::from_ref(&data));
        assert!(fs::symlink_metadata(&old).is_err(), "the old link is left");
        drop(listener);
        fs::set_permissions(&links, fs::Permissions::from_mode(0o777)).expect("changed");
        assert!(announce_in(&links, &data).is_err());
        assert_eq!(data_dirs_in(&links), Vec::<PathBuf>::new());
    }
}
