//! Restricts the system calls of threads that need few, with seccomp.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::{CONFINED, Enforcement};

/// System calls for memory, waiting and waking, clocks, random numbers, and the end of the thread. None for files, sockets,
/// processes or signals.
const ALLOWED: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_exit,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
];

/// Sleeping, in addition.
const SLEEPING: &[i64] = &[
    libc::SYS_clock_nanosleep,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_nanosleep,
];

/// Reading, writing and syncing files and directories, in addition. `write` wakes other threads, too; the failpoints of tests
/// send a signal to the process itself.
const FILES: &[i64] = &[
    libc::SYS_close,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_geteuid,
    libc::SYS_getegid,
    libc::SYS_getuid,
    libc::SYS_getgid,
    libc::SYS_kill,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sync_file_range,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
];

/// The filter of the threads that run snippets.
pub(super) fn for_workers() -> Result<BpfProgram, String> {
    let wakers = wakers().into_iter().map(wake).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let write = (!wakers.is_empty()).then_some((libc::SYS_write, wakers));
    filter(&[], write)
}

/// The filter of the thread that advances the coarse clock.
pub(super) fn for_clock() -> Result<BpfProgram, String> {
    filter(SLEEPING, None)
}

/// Writing to a file that is open, and the end of the process, in addition.
const OUTPUT: &[i64] = &[libc::SYS_exit_group, libc::SYS_fstat, libc::SYS_write];

/// The filter of a thread that works something out for it.
pub(super) fn for_computing() -> Result<BpfProgram, String> {
    filter(&[libc::SYS_uname], None)
}

/// The filter of the thread that writes an answer.
pub(super) fn for_output() -> Result<BpfProgram, String> {
    filter(OUTPUT, None)
}

/// The filter of threads that write files.
pub(super) fn for_files() -> Result<BpfProgram, String> {
    filter(&[SLEEPING, FILES].concat(), None)
}

/// [`ALLOWED`] and `more`, and one call with rules. All other system calls fail with EPERM, so that a harmless probe of a
/// library does not end the process.
fn filter(more: &[i64], ruled: Option<(i64, Vec<SeccompRule>)>) -> Result<BpfProgram, String> {
    let text = |error: seccompiler::BackendError| error.to_string();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().chain(more).map(|number| (*number, Vec::new())).collect();
    rules.extend(ruled);
    // Memory must not become executable.
    let no_code = || {
        let condition =
            SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0);
        SeccompRule::new(vec![condition.map_err(text)?]).map_err(text)
    };
    rules.insert(libc::SYS_mmap, vec![no_code()?]);
    rules.insert(libc::SYS_mprotect, vec![no_code()?]);
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(text)?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, arch).and_then(TryInto::try_into).map_err(text)
}

/// Allows a write of eight bytes to an event file, which wakes the thread of the runtime that waits for sockets.
fn wake(file: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, file)?,
        SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 8)?,
    ])
}

/// The open event files.
fn wakers() -> Vec<u64> {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let event = |entry: std::fs::DirEntry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        target.to_str()?.starts_with("anon_inode:[eventfd]").then_some(number)
    };
    open.filter_map(|entry| event(entry.ok()?)).collect()
}

pub(super) fn apply(program: &BpfProgram) -> Enforcement {
    block_signals();
    match seccompiler::apply_filter(program) {
        Ok(()) => {
            CONFINED.set(true);
            Enforcement::Full
        }
        Err(error) => Enforcement::Missing(error.to_string()),
    }
}

/// Blocks all signals: their handlers write to a pipe, which this thread must not do.
#[expect(unsafe_code, reason = "there is no safe wrapper of pthread_sigmask without a second crate")]
fn block_signals() {
    // SAFETY: `all` is a plain set that sigfillset initializes before it is read; pthread_sigmask changes the calling
    // thread's mask only and takes null for the old one (POSIX). Faults of the thread's own are delivered all the same.
    unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut());
    }
}
