//! Numbers without the machinery of `std::fmt`: a line has a dozen.

use crate::json::decimal;

/// Appends `number` in decimal.
pub(super) fn push(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(decimal(number, &mut [0; 20]));
}

/// Appends `number` in decimal, with its sign.
pub(super) fn push_signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push(out, number.unsigned_abs());
}

/// Appends `number` with at least `width` characters, at most 20, filled with `fill`.
pub(super) fn push_padded(out: &mut Vec<u8>, number: u64, width: usize, fill: u8) {
    let mark = out.len();
    push(out, number);
    let missing = width.min(20).saturating_sub(out.len() - mark);
    if missing > 0 {
        let padding = [fill; 20];
        let length = out.len();
        out.extend_from_slice(&padding[..missing]);
        out.copy_within(mark..length, mark + missing);
        out[mark..mark + missing].fill(fill);
    }
}
