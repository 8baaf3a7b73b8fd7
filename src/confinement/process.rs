//! System calls that no thread of the process may make, and core dumps.

use std::collections::BTreeMap;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::Enforcement;

/// What a service never does: run programs, look into other processes, change the system, its time, its mounts or its
/// namespaces, load code into the kernel, and use interfaces whose flaws were the way out of sandboxes.
const REFUSED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// x86-64 has the same calls once more, with this bit, for programs with short pointers; and some with numbers of their own.
#[cfg(target_arch = "x86_64")]
const SHORT_POINTERS: i64 = 0x4000_0000;
#[cfg(target_arch = "x86_64")]
const SHORT_POINTERS_ONLY: std::ops::RangeInclusive<i64> = 512..=547;

/// Refuses this thread, and all that it starts later, the calls in [`REFUSED`], new processes, and memory of its own as code.
/// Libraries of the system may still be loaded: the name service does.
pub(super) fn refuse_calls() -> Enforcement {
    let filters = [refusals(), threads_by_the_old_call()];
    for filter in filters {
        let program: Result<seccompiler::BpfProgram, _> = filter.and_then(TryInto::try_into);
        let applied = program
            .map_err(|error| error.to_string())
            .and_then(|program| seccompiler::apply_filter(&program).map_err(|error| error.to_string()));
        if let Err(why) = applied {
            return Enforcement::Missing(why);
        }
    }
    Enforcement::Full
}

fn refusals() -> Result<SeccompFilter, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|number| (*number, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    {
        let again = rules.keys().map(|number| number | SHORT_POINTERS).collect::<Vec<_>>();
        let more = SHORT_POINTERS_ONLY.map(|number| number | SHORT_POINTERS);
        rules.extend(again.into_iter().chain(more).map(|number| (number, Vec::new())));
    }
    let set = |argument, bits: i32| {
        let bits = u64::from(bits.cast_unsigned());
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), bits)
    };
    let clear = |argument, bits: i32| {
        let bits = u64::from(bits.cast_unsigned());
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), 0)
    };
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![clear(0, libc::CLONE_THREAD)?])?]);
    let own_code = vec![set(2, libc::PROT_EXEC)?, set(3, libc::MAP_ANONYMOUS)?];
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(own_code)?]);
    rules.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![set(2, libc::PROT_EXEC)?])?]);
    rules.insert(libc::SYS_pkey_mprotect, vec![SeccompRule::new(vec![set(2, libc::PROT_EXEC)?])?]);
    filter(rules, libc::EPERM)
}

/// A filter cannot see the flags of `clone3`. The C library falls back to `clone` if the kernel does not know it.
fn threads_by_the_old_call() -> Result<SeccompFilter, seccompiler::BackendError> {
    filter(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
}

/// Fails the calls in `rules` with `errno`, and allows all others.
fn filter(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<SeccompFilter, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno.cast_unsigned()), arch)
}

/// Turns core dumps off, and keeps processes of the same user from reading this one's memory.
///
/// # Errors
/// The system refuses it.
pub(super) fn hide_memory() -> Result<(), String> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    // A limit alone does not hold for a `core_pattern` that is a program.
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    limited.and(hidden).map_err(|error| error.to_string())
}
