//! Ports for the programs that a test starts.

use std::net::{TcpListener, UdpSocket};

use parking_lot::Mutex;

/// The ports of the tests, below the system's range of ephemeral ports.
const FIRST: u16 = 20_000;
/// The ports that one process of tests claims at a time.
const BLOCK: u16 = 100;
const BLOCKS: u16 = 100;

/// The ports that are left of this process's last block.
static LEFT: Mutex<Block> = Mutex::new(Block { next: 0, end: 0 });

struct Block {
    next: u16,
    end: u16,
}

/// A free port for TCP and UDP, which no other test gets: not in this process, and not in another one that runs beside it, since
/// a program may start to listen on it later.
pub fn free_port() -> u16 {
    let mut block = LEFT.lock();
    loop {
        if block.next == block.end {
            *block = claim();
        }
        let port = block.next;
        block.next += 1;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Claims a block for this process by listening on its first port until the process ends.
fn claim() -> Block {
    let start = u16::try_from(std::process::id() % u32::from(BLOCKS)).expect("below the number of blocks");
    for number in 0..BLOCKS {
        let first = FIRST + (start + number) % BLOCKS * BLOCK;
        if let Ok(claim) = TcpListener::bind(("127.0.0.1", first)) {
            std::mem::forget(claim);
            return Block { next: first + 1, end: first + BLOCK };
        }
    }
    panic!("no ports are left from {FIRST} on: too many tests run on this machine at the same time");
}
