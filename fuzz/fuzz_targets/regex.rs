//! `ngx.re`: any pattern, options and text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logphase_regex::search_checked;

const LETTERS: &[u8] = b"aimsxuUDJ";

// Two bytes select the options, one the start of the search; a line feed separates the pattern from the text.
fuzz_target!(|data: &[u8]| {
    let [low, high, from, rest @ ..] = data else { return };
    let chosen = u16::from_le_bytes([*low, *high]);
    let letters: Vec<u8> =
        (0..).zip(LETTERS).filter(|(bit, _)| chosen >> bit & 1 == 1).map(|(_, byte)| *byte).collect();
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let text = rest.get(end + 1..).unwrap_or_default();
    // A start past the end of the text is allowed; it finds nothing.
    let from = usize::from(from & 7).min(text.len() + 1);
    search_checked(&rest[..end], &letters, text, from);
});
