//! How many sent bytes the peer of a socket has not acknowledged.

use std::io;
use std::os::fd::AsFd;

/// Bytes that the kernel has accepted from this process and that the peer does not have yet (Linux, `SIOCOUTQ`): over
/// TCP those that the peer's kernel has not acknowledged; on a Unix socket those that the peer has not read, with the
/// kernel's own overhead.
///
/// # Errors
/// The socket does not support the request.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "rustix has no safe wrapper of the SIOCOUTQ ioctl")]
pub fn unacknowledged(socket: &impl AsFd) -> io::Result<u64> {
    use rustix::ioctl::{Getter, ioctl};
    // tcp(7): SIOCOUTQ is the same number as TIOCOUTQ.
    const SIOCOUTQ: rustix::ioctl::Opcode = linux_opcode();
    // SAFETY: SIOCOUTQ writes one C int to its argument and nothing else (tcp(7), and unix_ioctl in the kernel's
    // af_unix.c); other sockets refuse it. `socket` stays open during the call.
    let bytes = unsafe { ioctl(socket, Getter::<SIOCOUTQ, std::ffi::c_int>::new()) }?;
    u64::try_from(bytes).map_err(io::Error::other)
}

/// The number of the request, which differs on MIPS, PowerPC and SPARC.
#[cfg(target_os = "linux")]
const fn linux_opcode() -> rustix::ioctl::Opcode {
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        0x7472
    } else if cfg!(any(target_arch = "powerpc", target_arch = "powerpc64", target_arch = "sparc64")) {
        0x4004_7473
    } else {
        0x5411
    }
}

/// Other systems have no such request: what the kernel has accepted counts as acknowledged, and only resending recent
/// messages after a broken connection protects those that were under way.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn unacknowledged(_: &impl AsFd) -> io::Result<u64> {
    Ok(0)
}
