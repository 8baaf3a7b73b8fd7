//! The process that scripts see.

use std::sync::OnceLock;

/// The id of this process, read once: threads that run scripts may not make the system call.
pub(super) fn id() -> u32 {
    static ID: OnceLock<u32> = OnceLock::new();
    *ID.get_or_init(std::process::id)
}
