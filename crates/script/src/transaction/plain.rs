//! Finds the next byte with a special meaning in a JSON string.

/// The number of bytes at the front that are neither a quote, a backslash nor a control character.
#[inline(always)]
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut run = 0;
    while let Some(block) = bytes[run..].first_chunk() {
        match first_special(block) {
            Some(at) => return run + at,
            None => run += BLOCK,
        }
    }
    let tail = &bytes[run..];
    run + tail.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(tail.len())
}

/// Bytes that [`first_special`] reads.
const BLOCK: usize = if cfg!(target_feature = "sse2") { 16 } else { 8 };

/// The index of the first quote, backslash or control character in `block`.
#[cfg(target_feature = "sse2")]
#[inline]
#[expect(unsafe_code, reason = "what every x86-64 can do is called unsafe outside of functions marked with it")]
fn first_special(block: &[u8; BLOCK]) -> Option<usize> {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let word = u128::from_le_bytes(*block);
    // SAFETY: the instructions only use registers, and the condition above ensures that they are available.
    let hits = unsafe {
        let bytes = _mm_set_epi64x((word >> 64) as i64, word as i64);
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control))
    };
    (hits != 0).then(|| hits.trailing_zeros() as usize)
}

/// The index of the first quote, backslash or control character in `block`.
#[cfg(not(target_feature = "sse2"))]
#[inline]
fn first_special(block: &[u8; BLOCK]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(*block);
    // The high bit of each special byte. Bits above the lowest one may be wrong, which does not matter. A byte whose own
    // high bit is set is not special.
    let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
    let slash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * 0x20);
    let hits = (quote | slash | control) & !word & (ONES << 7);
    (hits != 0).then(|| (hits.trailing_zeros() / 8) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: texts of any length with quotes, backslashes, control characters and others, high ones too.
        /// Guarantees: the first that is not plain is found, wherever it stands; looking at many bytes at a time gives
        /// what looking at each does.
        #[test]
        fn the_first_special_byte_is_found(
            text in proptest::collection::vec(prop_oneof![
                8 => 0x20_u8..=0xff,
                1 => prop_oneof![Just(b'"'), Just(b'\\'), 0_u8..0x20, Just(0x7f), Just(0x80), Just(0xff)],
            ], 0..100),
        ) {
            let expected = text.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
            prop_assert_eq!(plain_run(&text), expected.unwrap_or(text.len()));
        }
    }
}
