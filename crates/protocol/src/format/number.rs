//! Numbers without the machinery of `std::fmt`: a line has a dozen.

/// Appends `number` in decimal.
pub(super) fn push(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + digit(number);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
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

fn digit(number: u64) -> u8 {
    u8::try_from(number % 10).unwrap_or_default()
}
