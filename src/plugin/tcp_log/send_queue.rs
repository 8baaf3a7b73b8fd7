//! How many sent bytes the peer's TCP has not acknowledged yet.

use std::io;

use tokio::net::TcpStream;

/// Bytes that the kernel has taken from this process and the peer's TCP has not acknowledged (Linux, `SIOCOUTQ`).
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "rustix has no safe wrapper of the SIOCOUTQ ioctl")]
pub(super) fn unacknowledged(stream: &TcpStream) -> io::Result<u64> {
    use rustix::ioctl::{Getter, ioctl};
    // tcp(7): SIOCOUTQ is the same number as TIOCOUTQ.
    const SIOCOUTQ: rustix::ioctl::Opcode = linux_opcode();
    // SAFETY: SIOCOUTQ on a TCP socket writes one C int to its argument and nothing else (tcp(7)); `stream` is a
    // TCP socket that stays open during the call.
    let bytes = unsafe { ioctl(stream, Getter::<SIOCOUTQ, std::ffi::c_int>::new()) }?;
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
pub(super) fn unacknowledged(_: &TcpStream) -> io::Result<u64> {
    Ok(0)
}
