//! What the system keeps the process from, should the sandbox's inner walls fall: system calls of worker threads
//! (seccomp), files of the whole process (Landlock). Linux only; elsewhere, and where a kernel cannot, the answer says so.

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod threads;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How far a wall stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// It stands.
    Full,
    /// Only in part: an old kernel knows not all of it.
    Partial,
    /// It does not, and why.
    Missing(String),
    /// The settings do not want it.
    Off,
}

impl std::fmt::Display for Enforcement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("on"),
            Self::Partial => f.write_str("partly (this kernel knows not all of it)"),
            Self::Missing(why) => write!(f, "missing ({why})"),
            Self::Off => f.write_str("off"),
        }
    }
}

/// The files that a process has business with.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Files and directories to read.
    pub read: Vec<PathBuf>,
    /// Files and directories to read and write.
    pub write: Vec<PathBuf>,
}

/// The directories and files that may be written, once the process is confined.
static WRITABLE: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Keeps this thread, and every thread that it starts from now on, from all files but `files` and what name lookup and
/// TLS need. For good.
pub fn confine_process(files: Files) -> Enforcement {
    #[cfg(target_os = "linux")]
    let (wall, writable) = files::confine(files);
    #[cfg(not(target_os = "linux"))]
    let (wall, writable) = (Enforcement::Missing("this system has no Landlock".to_owned()), files.write);
    if matches!(wall, Enforcement::Full | Enforcement::Partial) {
        let _ = WRITABLE.set(writable);
    }
    wall
}

/// Whether a file of this name may be written, as far as [`confine_process`] is concerned.
pub fn may_write(path: &Path) -> bool {
    let Some(writable) = WRITABLE.get() else { return true };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let resolved = path.canonicalize().or_else(|_| parent.canonicalize());
    let Ok(resolved) = resolved else { return false };
    writable.iter().any(|allowed| resolved.starts_with(allowed))
}

/// What worker threads may call; made once, when every file that wakes others is open.
#[derive(Debug, Clone)]
pub struct ThreadFilter {
    #[cfg(target_os = "linux")]
    program: Option<std::sync::Arc<seccompiler::BpfProgram>>,
}

impl ThreadFilter {
    /// No filter.
    pub fn none() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            program: None,
        }
    }

    /// The filter for threads that compute and wake their neighbours.
    ///
    /// # Errors
    /// Why it cannot be made on this system.
    pub fn for_workers() -> Result<Self, String> {
        #[cfg(target_os = "linux")]
        return Ok(Self { program: Some(std::sync::Arc::new(threads::filter()?)) });
        #[cfg(not(target_os = "linux"))]
        Err("this system has no seccomp".to_owned())
    }

    /// Puts it on the calling thread, for good, and keeps signals for other threads.
    pub fn apply(&self) -> Enforcement {
        #[cfg(target_os = "linux")]
        if let Some(program) = &self.program {
            return threads::apply(program);
        }
        Enforcement::Off
    }
}

thread_local! {
    static CONFINED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether the calling thread may compute only.
pub fn thread_is_confined() -> bool {
    CONFINED.get()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
