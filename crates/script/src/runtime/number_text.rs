//! Numbers as text, as Lua code sees them: by `tostring`, by `..`, and wherever a function takes a number for a text.
//!
//! Luau writes the shortest digits that identify a number, LuaJIT 14 significant ones. No option and no callback of
//! Luau changes that, and to wrap every operand of `..` in a function would cost each snippet that joins texts. So this
//! module provides the two functions of Luau's `lnumprint.cpp` in its place: the linker takes them from here, and leaves
//! the archive's member with the same names out. Should a version of Luau use other names, the tests of `values` fail.

use std::cell::{Cell, RefCell};
use std::ffi::c_char;

use crate::transaction::number::{MAX_EXACT, Ties, push_fourteen, push_whole};

thread_local! {
    /// Whether whole numbers of more than 14 digits lose digits, as in Kong.
    static FOURTEEN_DIGITS: Cell<bool> = const { Cell::new(false) };
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Sets how this thread's VMs write whole numbers of more than 14 digits from now on: as Kong does, or exactly.
pub(crate) fn set_quirks(quirks: bool) {
    FOURTEEN_DIGITS.set(quirks);
}

/// Appends `number` as Lua code sees it.
pub(crate) fn push_lua_number(out: &mut Vec<u8>, number: f64) {
    if !number.is_finite() {
        let text = if number.is_nan() {
            "nan"
        } else if number > 0.0 {
            "inf"
        } else {
            "-inf"
        };
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let exact = if FOURTEEN_DIGITS.get() { 99_999_999_999_999.0 } else { MAX_EXACT };
    if number.abs() <= exact && push_whole(out, number) {
        return;
    }
    push_fourteen(out, number, Ties::Away);
}

/// `number` as Lua code sees it.
pub fn lua_number(number: f64) -> String {
    let mut out = Vec::new();
    push_lua_number(&mut out, number);
    String::from_utf8(out).expect("numbers are written in ASCII")
}

/// Bytes that Luau's callers have room for (`LUAI_MAXNUM2STR`, `LUAI_MAXINT2STR`).
const ROOM: usize = 48;
const WHOLE_ROOM: usize = 30;

/// Luau's `char* luai_num2str(char* buf, double n)`: writes `number` and returns the end of the text.
#[expect(unsafe_code, reason = "Luau has no option for the digits of numbers")]
// SAFETY: the name is that of the function that Luau's VM declares and calls, with the same types.
#[unsafe(export_name = "_Z12luai_num2strPcd")]
unsafe extern "C" fn num2str(buffer: *mut c_char, number: f64) -> *mut c_char {
    BUFFER.with_borrow_mut(|text| {
        text.clear();
        push_lua_number(text, number);
        // SAFETY: as for `copy`.
        unsafe { copy(text, buffer, ROOM) }
    })
}

/// Luau's `char* luai_int2str(char* buf, int64_t n)`, for 64-bit integers, which no snippet has.
#[expect(unsafe_code, reason = "it is in the same object file of Luau")]
// SAFETY: the name is that of the function that Luau's VM declares and calls, with the same types.
#[cfg_attr(target_os = "macos", unsafe(export_name = "_Z12luai_int2strPcx"))]
#[cfg_attr(not(target_os = "macos"), unsafe(export_name = "_Z12luai_int2strPcl"))]
unsafe extern "C" fn int2str(buffer: *mut c_char, number: i64) -> *mut c_char {
    // SAFETY: as for `copy`.
    unsafe { copy(number.to_string().as_bytes(), buffer, WHOLE_ROOM) }
}

/// Copies `text` to `buffer`, and returns the end of the copy.
///
/// # Safety
/// `buffer` has `room` bytes.
#[expect(unsafe_code, reason = "it writes into a buffer of Luau's")]
unsafe fn copy(text: &[u8], buffer: *mut c_char, room: usize) -> *mut c_char {
    let length = text.len().min(room);
    // SAFETY: the caller's promise, and `length` is at most `room`. The two do not overlap: one is Luau's, the other ours.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, length);
        buffer.add(length)
    }
}
