//! Restricts the files of the process with Landlock.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus,
};

use super::{Enforcement, Files};

/// What name lookup, TLS and time zones read (resolv.conf(5), nsswitch.conf(5), ld.so(8)), and what a process reads
/// about itself. Missing files are ignored.
const SYSTEM: &[&str] = &[
    "/dev/null",
    "/dev/urandom",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/lib",
    "/lib64",
    "/proc/self",
    "/run/NetworkManager",
    "/run/systemd/resolve",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr/lib",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
];

/// Those of them with the loader of programs and libraries.
const LIBRARIES: &[&str] = &["/lib", "/lib64", "/usr/lib"];

/// The newest Landlock version that the rules below were written for.
const RIGHTS: ABI = ABI::V5;

/// Restricts the calling thread. Also returns the resolved paths that may be written.
pub(super) fn confine(files: Files) -> (Enforcement, Vec<PathBuf>) {
    let writable: Vec<PathBuf> = files.write.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let enforcement = enforcement(restrict(&files.read, &writable));
    (enforcement, writable)
}

/// Restricts the calling thread to what every process reads, and to running the program of this process, also if another one is at its path now.
pub(super) fn confine_to_own_program() -> Enforcement {
    let restrict = || {
        let all = AccessFs::from_all(RIGHTS);
        let reading = AccessFs::ReadFile | AccessFs::ReadDir;
        let mut rules = Ruleset::default().handle_access(all)?.create()?;
        for path in SYSTEM {
            // The loader of programs and the libraries are run as well.
            let access = if LIBRARIES.contains(path) { reading | AccessFs::Execute } else { reading };
            rules = allow(rules, Path::new(path), access)?;
        }
        rules = allow(rules, Path::new("/dev/null"), AccessFs::WriteFile.into())?;
        allow(rules, Path::new("/proc/self/exe"), AccessFs::ReadFile | AccessFs::Execute)?.restrict_self()
    };
    enforcement(restrict())
}

fn enforcement(restricted: Result<RestrictionStatus, RulesetError>) -> Enforcement {
    match restricted {
        Ok(status) => match status.ruleset {
            RulesetStatus::FullyEnforced => Enforcement::Full,
            RulesetStatus::PartiallyEnforced => Enforcement::Partial,
            RulesetStatus::NotEnforced => Enforcement::Missing("this kernel has no Landlock".to_owned()),
        },
        Err(error) => Enforcement::Missing(error.to_string()),
    }
}

fn restrict(read: &[PathBuf], writable: &[PathBuf]) -> Result<RestrictionStatus, RulesetError> {
    let all = AccessFs::from_all(RIGHTS);
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    // Without the rights to execute files and to create devices.
    let writing = all & !(AccessFs::Execute | AccessFs::MakeBlock | AccessFs::MakeChar);
    let mut rules = Ruleset::default().handle_access(all)?.create()?;
    let certificates = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let system = SYSTEM.iter().map(PathBuf::from).chain(certificates);
    for path in system.chain(read.iter().cloned()) {
        rules = allow(rules, &path, reading)?;
    }
    rules = allow(rules, Path::new("/dev/null"), AccessFs::WriteFile.into())?;
    for path in writable {
        rules = allow(rules, path, writing)?;
    }
    rules.restrict_self()
}

/// Adds a rule for `path`, if the file exists.
fn allow(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let Ok(file) = PathFd::new(path) else { return Ok(rules) };
    // A rule for a file must not have rights that only directories have.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(RIGHTS) };
    rules.add_rule(PathBeneath::new(file, access))
}
