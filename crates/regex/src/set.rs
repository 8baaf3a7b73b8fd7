//! Sets of characters: bytes, or code points in UTF mode.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// The last code point.
pub(super) const LAST: u32 = 0x10_FFFF;
/// The value of a byte that is not UTF-8. It is no code point, so only unbounded sets contain it.
pub(super) const INVALID: u32 = LAST + 1;

/// A set of characters, with a bitmap of the first 256.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Set {
    low: [u64; 4],
    /// Sorted, neither overlapping nor adjacent.
    ranges: Box<[(u32, u32)]>,
}

impl Set {
    /// The set of these ranges, in any order.
    pub(super) fn new(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        let mut low = [0_u64; 4];
        for &(first, last) in merged.iter().take_while(|range| range.0 < 256) {
            (first..=last.min(255)).for_each(|value| low[value as usize / 64] |= 1 << (value % 64));
        }
        Self { low, ranges: merged.into() }
    }

    /// The complement, up to the greatest character of the mode.
    pub(super) fn negated(&self, utf: bool) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = 0;
        for &(first, last) in &self.ranges {
            if first > next {
                ranges.push((next, first - 1));
            }
            next = last.saturating_add(1);
        }
        let end = if utf { INVALID } else { 255 };
        if next <= end {
            ranges.push((next, end));
        }
        Self::new(ranges)
    }

    /// The set with both cases of each letter. In byte mode only ASCII letters have case.
    pub(super) fn caseless(&self, utf: bool) -> Self {
        if utf {
            return self.caseless_utf();
        }
        let mut ranges = self.ranges.to_vec();
        for value in (b'a'..=b'z').map(u32::from) {
            let other = value - 32;
            if self.has_low(value as u8) {
                ranges.push((other, other));
            }
            if self.has_low(other as u8) {
                ranges.push((value, value));
            }
        }
        Self::new(ranges)
    }

    fn caseless_utf(&self) -> Self {
        let has_invalid = self.ranges.last().is_some_and(|range| range.1 == INVALID);
        let mut class = ClassUnicode::new(self.char_ranges().map(|(first, last)| ClassUnicodeRange::new(first, last)));
        // This fails only if regex-syntax is built without its case tables.
        let _ = class.try_case_fold_simple();
        let mut ranges: Vec<_> =
            class.ranges().iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect();
        if has_invalid {
            ranges.push((INVALID, INVALID));
        }
        Self::new(ranges)
    }

    /// Whether it contains one of the first 256 characters.
    pub(super) fn has_low(&self, value: u8) -> bool {
        self.low[value as usize / 64] >> (value % 64) & 1 == 1
    }

    /// Whether it contains the character.
    pub(super) fn has(&self, value: u32) -> bool {
        if let Ok(value) = u8::try_from(value) {
            return self.has_low(value);
        }
        self.ranges
            .binary_search_by(|&(first, last)| {
                if last < value {
                    std::cmp::Ordering::Less
                } else if first > value {
                    std::cmp::Ordering::Greater
                } else {
                    std::cmp::Ordering::Equal
                }
            })
            .is_ok()
    }

    pub(super) fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// The ranges as scalar values, without surrogates and [`INVALID`].
    pub(super) fn char_ranges(&self) -> impl Iterator<Item = (char, char)> {
        let parts = self.ranges.iter().flat_map(|&(first, last)| {
            let (first, last) = (first, last.min(LAST));
            let below = (first <= 0xD7FF).then_some((first, last.min(0xD7FF)));
            let above = (last >= 0xE000).then_some((first.max(0xE000), last));
            [below, above].into_iter().flatten()
        });
        parts.filter_map(|(first, last)| {
            Some((char::from_u32(first)?, char::from_u32(last)?)).filter(|pair| pair.0 <= pair.1)
        })
    }

    /// The size in bytes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.ranges)
    }
}

/// The ranges of a class escape. `\h` and `\v` contain more in UTF mode.
pub(super) fn of_letter(letter: u8, utf: bool) -> Option<Vec<(u32, u32)>> {
    let ranges: &[(u32, u32)] = match letter.to_ascii_lowercase() {
        b'd' => &[(48, 57)],
        b'w' => &[(48, 57), (65, 90), (95, 95), (97, 122)],
        b's' => &[(9, 13), (32, 32)],
        b'h' if utf => &[
            (9, 9),
            (32, 32),
            (0xA0, 0xA0),
            (0x1680, 0x1680),
            (0x180E, 0x180E),
            (0x2000, 0x200A),
            (0x202F, 0x202F),
            (0x205F, 0x205F),
            (0x3000, 0x3000),
        ],
        b'h' => &[(9, 9), (32, 32), (0xA0, 0xA0)],
        b'v' if utf => &[(10, 13), (0x85, 0x85), (0x2028, 0x2029)],
        b'v' => &[(10, 13), (0x85, 0x85)],
        _ => return None,
    };
    Some(if letter.is_ascii_uppercase() {
        Set::new(ranges.to_vec()).negated(utf).ranges().to_vec()
    } else {
        ranges.to_vec()
    })
}

/// The ranges of a POSIX class.
pub(super) fn of_posix(name: &[u8]) -> Option<&'static [(u32, u32)]> {
    Some(match name {
        b"alpha" => &[(65, 90), (97, 122)],
        b"lower" => &[(97, 122)],
        b"upper" => &[(65, 90)],
        b"alnum" => &[(48, 57), (65, 90), (97, 122)],
        b"ascii" => &[(0, 127)],
        b"blank" => &[(9, 9), (32, 32)],
        b"cntrl" => &[(0, 31), (127, 127)],
        b"digit" => &[(48, 57)],
        b"graph" => &[(33, 126)],
        b"print" => &[(32, 126)],
        b"punct" => &[(33, 47), (58, 64), (91, 96), (123, 126)],
        b"space" => &[(9, 13), (32, 32)],
        b"word" => &[(48, 57), (65, 90), (95, 95), (97, 122)],
        b"xdigit" => &[(48, 57), (65, 70), (97, 102)],
        _ => return None,
    })
}

/// The ranges of `\p{NAME}`, from the tables of regex-syntax.
pub(super) fn of_property(name: &str) -> Option<Vec<(u32, u32)>> {
    if name.eq_ignore_ascii_case("any") {
        return Some(vec![(0, LAST)]);
    }
    // PCRE's own name for cased letters.
    let name = if name == "L&" { "LC" } else { name };
    let sound = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let hir = regex_syntax::parse(&format!("\\p{{{}}}", sound.then_some(name)?)).ok()?;
    match hir.into_kind() {
        regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
            Some(class.ranges().iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect())
        }
        _ => None,
    }
}
