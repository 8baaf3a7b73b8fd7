//! Random bytes for scripts: HMAC-SHA-256 of a counter, under a key drawn once. Threads that run scripts may ask the
//! kernel for nothing, and what a script sees of the stream says nothing about the rest of it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use mlua::{Lua, Value as Lv};

use super::super::convert::kind_name;
use super::super::pdk::raise;

/// The most bytes at once.
const MOST: f64 = 65_536.0;

/// Draws the key, while the thread may still ask the kernel.
pub(in super::super) fn prepare() {
    key();
}

fn key() -> &'static hmac::Key {
    static KEY: OnceLock<hmac::Key> = OnceLock::new();
    KEY.get_or_init(|| {
        // Two of them hold 244 random bits.
        let seed = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
        hmac::Key::new(hmac::HMAC_SHA256, &seed)
    })
}

/// `count` bytes.
pub(super) fn bytes(count: usize) -> Vec<u8> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut out = Vec::with_capacity(count + 32);
    while out.len() < count {
        let turn = COUNTER.fetch_add(1, Ordering::Relaxed);
        out.extend_from_slice(hmac::sign(key(), &turn.to_le_bytes()).as_ref());
    }
    out.truncate(count);
    out
}

/// As many bytes as a script asks for.
pub(super) fn asked(lua: &Lua, count: &Lv, function: &str) -> mlua::Result<Vec<u8>> {
    let count = match count {
        Lv::Integer(count) => *count as f64,
        Lv::Number(count) => *count,
        other => {
            let message = format!("bad argument #1 to '{function}' (number expected, got {})", kind_name(other));
            return Err(raise(lua, &message));
        }
    };
    if !(0.0..=MOST).contains(&count) {
        return Err(raise(lua, &format!("bad argument #1 to '{function}' (not between 0 and {MOST})")));
    }
    Ok(bytes(count as usize))
}
