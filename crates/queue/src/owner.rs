//! The owner of files that a command creates: root, who works on the files of a stopped service, leaves none that the service
//! cannot read.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Gives a new file or directory the owner and the group of the directory that it is in, if this process runs as root, and
/// the rights of the group if that directory is closed to all others.
///
/// # Errors
/// Those of the file system.
pub fn give(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (parent, own) = (fs::metadata(parent)?, fs::metadata(path)?);
    if rustix::process::geteuid().is_root() && (parent.uid(), parent.gid()) != (own.uid(), own.gid()) {
        chown(path, Some(parent.uid()), Some(parent.gid()))?;
    }
    let for_group = if own.is_dir() { 0o070 } else { 0o060 };
    let mode = own.mode() & 0o777;
    let wanted = if parent.mode() & 0o007 == 0 { mode | parent.mode() & for_group } else { mode };
    if wanted == mode { Ok(()) } else { fs::set_permissions(path, fs::Permissions::from_mode(wanted)) }
}
