//! How many sent bytes the other side of a socket has not taken yet.

use std::io;
use std::os::fd::AsFd;

/// Bytes that the kernel has taken from this process and that, over TCP, the peer's kernel has not acknowledged, or,
/// from a Unix socket, nobody has read; there the kernel's own overhead counts too (Linux, `SIOCOUTQ`).
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "rustix has no safe wrapper of the SIOCOUTQ ioctl")]
pub fn unacknowledged(socket: &impl AsFd) -> io::Result<u64> {
    use rustix::ioctl::{Getter, ioctl};
    // tcp(7): SIOCOUTQ is the same number as TIOCOUTQ.
    const SIOCOUTQ: rustix::ioctl::Opcode = linux_opcode();
    // SAFETY: SIOCOUTQ writes one C int to its argument and nothing else (tcp(7); unix_ioctl in the kernel's af_unix.c
    // likewise), and what does not know it fails; `socket` stays open during the call.
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

/// Elsewhere this cannot be asked: what the kernel has taken counts as acknowledged, and only the resending of
/// recent messages after a broken connection guards what was under way.
#[cfg(not(target_os = "linux"))]
pub fn unacknowledged(_: &impl AsFd) -> io::Result<u64> {
    Ok(0)
}
