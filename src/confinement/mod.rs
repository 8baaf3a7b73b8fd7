//! Restrictions by the operating system, in case an attack escapes the Lua sandbox: on the system calls of the process and,
//! closer, of the threads that need few (seccomp), on the files of the process (Landlock), and on who may see its memory. Only on Linux; [`Enforcement`] is the state of each.

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod threads;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How far a restriction is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// Fully.
    Full,
    /// In part: the kernel does not support all of it.
    Partial,
    /// Not at all, and why.
    Missing(String),
    /// It is disabled in the settings.
    Off,
}

impl std::fmt::Display for Enforcement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("on"),
            Self::Partial => f.write_str("partly (this kernel does not support all of it)"),
            Self::Missing(why) => write!(f, "missing ({why})"),
            Self::Off => f.write_str("off"),
        }
    }
}

/// The files that the process may use.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Files and directories that it may read.
    pub read: Vec<PathBuf>,
    /// Files and directories that it may read and write.
    pub write: Vec<PathBuf>,
}

impl Files {
    /// These and `more`.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.read.extend(more.read);
        self.write.extend(more.write);
        self
    }
}

/// The directories and files that may be written, once the process is restricted.
static WRITABLE: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Restricts this thread, and all threads that it starts later, to `files` and those that name lookup and TLS need. This
/// cannot be undone.
pub fn confine_process(files: Files) -> Enforcement {
    #[cfg(target_os = "linux")]
    let (enforcement, writable) = files::confine(files);
    #[cfg(not(target_os = "linux"))]
    let (enforcement, writable) = (Enforcement::Missing("this system has no Landlock".to_owned()), files.write);
    if matches!(enforcement, Enforcement::Full | Enforcement::Partial) {
        let _ = WRITABLE.set(writable);
    }
    enforcement
}

/// Whether [`confine_process`] allows writing the file `path`.
pub fn may_write(path: &Path) -> bool {
    let Some(writable) = WRITABLE.get() else { return true };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let resolved = path.canonicalize().or_else(|_| parent.canonicalize());
    let Ok(resolved) = resolved else { return false };
    writable.iter().any(|allowed| resolved.starts_with(allowed))
}

/// Restricts this thread, and all threads and processes that it starts later, to reading what [`confine_process`] lets every process read, and
/// to running this program.
pub fn confine_to_own_program() -> Enforcement {
    #[cfg(target_os = "linux")]
    return files::confine_to_own_program();
    #[cfg(not(target_os = "linux"))]
    Enforcement::Missing("this system has no Landlock".to_owned())
}

/// Refuses this thread, and all threads that it starts later, the system calls that no service needs. This cannot be undone.
pub fn refuse_system_calls() -> Enforcement {
    #[cfg(target_os = "linux")]
    return process::refuse_calls();
    #[cfg(not(target_os = "linux"))]
    Enforcement::Missing("this system has no seccomp".to_owned())
}

/// Turns core dumps of the process off, and keeps other processes of its user from reading its memory, which has secrets.
///
/// # Errors
/// The system refuses it.
pub fn hide_memory() -> Result<(), String> {
    #[cfg(target_os = "linux")]
    return process::hide_memory();
    #[cfg(not(target_os = "linux"))]
    {
        let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        rustix::process::setrlimit(rustix::process::Resource::Core, none).map_err(|error| error.to_string())
    }
}

/// The system call filter of a thread that needs few. That of workers is created when the files by which they wake other
/// threads are open.
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

    /// The filter for worker threads, which only compute and wake other threads.
    ///
    /// # Errors
    /// Why this system does not support it.
    pub fn for_workers() -> Result<Self, String> {
        #[cfg(target_os = "linux")]
        return Ok(Self { program: Some(std::sync::Arc::new(threads::for_workers()?)) });
        #[cfg(not(target_os = "linux"))]
        Err("this system has no seccomp".to_owned())
    }

    /// The filter for the thread of the clock, which only sleeps and reads clocks; none where the system has no seccomp.
    pub fn for_clock() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            program: threads::for_clock().ok().map(std::sync::Arc::new),
        }
    }

    /// The filter for threads that read and write files and wake others: those of queues on disk, and of the log. No sockets,
    /// no processes. None where the system has no seccomp.
    pub fn for_files() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            program: threads::for_files().ok().map(std::sync::Arc::new),
        }
    }

    /// The filter for a thread that only computes, in a process that does nothing else; it may ask for the name of the machine.
    ///
    /// # Errors
    /// Why this system does not support it.
    pub fn for_computing() -> Result<Self, String> {
        #[cfg(target_os = "linux")]
        return Ok(Self { program: Some(std::sync::Arc::new(threads::for_computing()?)) });
        #[cfg(not(target_os = "linux"))]
        Err("this system has no seccomp".to_owned())
    }

    /// The filter for a thread that waits for others, and writes what they have worked out to a file that is open. None where the system has
    /// no seccomp.
    pub fn for_output() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            program: threads::for_output().ok().map(std::sync::Arc::new),
        }
    }

    /// Applies it to the calling thread, and blocks its signals. This cannot be undone.
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

/// Whether the calling thread has a system call filter.
pub fn thread_is_confined() -> bool {
    CONFINED.get()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
