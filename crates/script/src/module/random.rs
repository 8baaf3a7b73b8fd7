//! Random bytes for scripts: HMAC-SHA-256 of a counter, with a key drawn once. Threads that run scripts may not make
//! system calls, and the part of the stream that a script sees reveals nothing about the rest.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::host::arguments::number;
use crate::runtime::bad_argument;
use aws_lc_rs::hmac;
use mlua::{Lua, Value as Lv};

/// Bytes of one call.
const MAX_BYTES: f64 = 65_536.0;

/// Draws the key, which threads that run scripts cannot.
pub(crate) fn prepare() {
    key();
}

fn key() -> &'static hmac::Key {
    static KEY: OnceLock<hmac::Key> = OnceLock::new();
    KEY.get_or_init(|| {
        // Two UUIDs hold 244 random bits.
        let seed = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
        hmac::Key::new(hmac::HMAC_SHA256, &seed)
    })
}

/// `count` bytes.
pub(super) fn bytes(count: usize) -> Vec<u8> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut out = Vec::with_capacity(count + 32);
    while out.len() < count {
        let block = COUNTER.fetch_add(1, Ordering::Relaxed);
        out.extend_from_slice(hmac::sign(key(), &block.to_le_bytes()).as_ref());
    }
    out.truncate(count);
    out
}

/// The number of bytes that a script asks for.
///
/// # Errors
/// `count` is not a number from 0 to 65,536.
pub(super) fn requested(lua: &Lua, count: &Lv, function: &str) -> mlua::Result<Vec<u8>> {
    let count = number(lua, 1, function, count)?;
    if !(0.0..=MAX_BYTES).contains(&count) {
        return Err(bad_argument(lua, 1, function, &format!("not between 0 and {MAX_BYTES}")));
    }
    Ok(bytes(count as usize))
}
