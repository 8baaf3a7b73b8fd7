//! How many datagrams the kernel dropped on a socket: the last column of Linux's table of sockets.

use std::os::fd::AsFd;

use rustix::fs::fstat;

/// Reads how many datagrams the kernel dropped on one socket.
pub(in crate::input) struct KernelDrops {
    inode: Option<u64>,
    seen: u64,
}

impl KernelDrops {
    /// Those of a UDP socket.
    pub(super) fn of(socket: impl AsFd) -> Self {
        Self { inode: fstat(socket).ok().map(|found| found.st_ino), seen: 0 }
    }

    /// Those of a socket on which the kernel drops nothing.
    pub(super) fn none() -> Self {
        Self { inode: None, seen: 0 }
    }

    /// The number of drops since the last call; 0 where the system does not report it.
    pub(super) fn since_last(&mut self) -> u64 {
        let Some(inode) = self.inode else {
            return 0;
        };
        let total = ["/proc/self/net/udp", "/proc/self/net/udp6"]
            .iter()
            .filter_map(|table| std::fs::read_to_string(table).ok())
            .find_map(|table| find_drops(&table, inode));
        total.map_or(0, |total| total.saturating_sub(std::mem::replace(&mut self.seen, total)))
    }
}

/// Finds `inode` in the text of `/proc/net/udp`; the kernel's `udp4_format_sock` writes the columns.
fn find_drops(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(9);
        (columns.next()?.parse() == Ok(inode)).then_some(())?;
        columns.last()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the kernel's table of sockets, and a socket that is not in it.
    /// Guarantees: the right line and the right columns are read.
    #[test]
    fn reads_the_table() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n  \
                      300: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4711 2 00000000 17\n  \
                      301: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4712 2 00000000 0\n";
        assert_eq!((find_drops(table, 4711), find_drops(table, 4712), find_drops(table, 1)), (Some(17), Some(0), None));
    }
}
