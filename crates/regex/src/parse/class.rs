//! Bracketed classes.

use super::super::set::{LAST, Set, of_letter, of_posix};
use super::{Parser, Result};

/// One item of a class.
enum Item {
    Character(u32),
    Ranges(Vec<(u32, u32)>),
}

impl Parser<'_> {
    /// Parses a class after its bracket.
    pub(super) fn class(&mut self) -> Result<Set> {
        let negative = self.eat(b"^");
        let mut ranges = Vec::new();
        let mut first = true;
        let mut quoting = false;
        loop {
            if quoting && self.eat(b"\\E") || !quoting && self.eat(b"\\E") {
                quoting = false;
                continue;
            }
            if !quoting && self.eat(b"\\Q") {
                quoting = true;
                continue;
            }
            let ends = self.peek() == Some(b']') && !quoting;
            if ends && (!first || self.javascript) {
                self.at += 1;
                break;
            }
            first = false;
            let low = match self.item(quoting)? {
                Item::Character(value) => value,
                Item::Ranges(more) => {
                    ranges.extend(more);
                    continue;
                }
            };
            let high = self.range_end(low, quoting, &mut ranges)?;
            ranges.push((low, high));
        }
        let set = Set::new(ranges);
        if self.flags.caseless && self.utf {
            self.count_table()?;
        }
        let set = if self.flags.caseless { set.caseless(self.utf) } else { set };
        Ok(if negative { set.negated(self.utf) } else { set })
    }

    /// The last character of the range that begins with `low`; `low` itself if no range follows.
    fn range_end(&mut self, low: u32, quoting: bool, ranges: &mut Vec<(u32, u32)>) -> Result<u32> {
        let ranged = !quoting && self.peek() == Some(b'-') && !matches!(self.rest().get(1), None | Some(b']'));
        if !ranged {
            return Ok(low);
        }
        self.at += 1;
        self.eat(b"\\E");
        match self.item(false)? {
            Item::Character(high) if high < low => Err(self.error("range out of order in character class")),
            Item::Character(high) => Ok(high),
            Item::Ranges(more) => {
                ranges.push((u32::from(b'-'), u32::from(b'-')));
                ranges.extend(more);
                Ok(low)
            }
        }
    }

    fn item(&mut self, quoting: bool) -> Result<Item> {
        if !quoting
            && self.peek() == Some(b'[')
            && let Some(posix) = self.posix()?
        {
            return Ok(Item::Ranges(posix));
        }
        let Some(value) = self.character() else {
            return Err(self.error("missing terminating ] for character class"));
        };
        if quoting || value != u32::from(b'\\') {
            return Ok(Item::Character(value));
        }
        match self.peek() {
            None => Err(self.error("\\ at end of pattern")),
            Some(b'b') => {
                self.at += 1;
                Ok(Item::Character(8))
            }
            Some(b'p' | b'P') => Ok(Item::Ranges(self.property()?.ranges().to_vec())),
            Some(b'N' | b'R' | b'X') => Err(self.error("escape sequence is invalid in character class")),
            Some(letter) if let Some(ranges) = of_letter(letter, self.utf) => {
                self.at += 1;
                Ok(Item::Ranges(ranges))
            }
            Some(b'0'..=b'7') => Ok(Item::Character(self.octal(3))),
            Some(_) => self.escaped_character().map(Item::Character),
        }
    }

    /// `[:NAME:]`, if it follows.
    fn posix(&mut self) -> Result<Option<Vec<(u32, u32)>>> {
        let rest = self.rest();
        if !matches!(rest.get(1), Some(b':' | b'.' | b'=')) {
            return Ok(None);
        }
        let mark = rest[1];
        let name = &rest[2..];
        let Some(length) = name.windows(2).position(|pair| pair == [mark, b']']) else { return Ok(None) };
        let name = &name[..length];
        let (negative, word) = match name.strip_prefix(b"^") {
            Some(word) => (true, word),
            None => (false, name),
        };
        if !word.iter().all(u8::is_ascii_alphabetic) {
            return Ok(None);
        }
        if mark != b':' {
            return Err(self.error("POSIX collating elements are not supported"));
        }
        let Some(ranges) = of_posix(word) else { return Err(self.error("unknown POSIX class name")) };
        let ranges =
            if negative { Set::new(ranges.to_vec()).negated(self.utf).ranges().to_vec() } else { ranges.to_vec() };
        self.at += length + 4;
        Ok(Some(ranges))
    }

    /// The greatest character that an escape by number can name.
    pub(super) fn greatest(&self) -> u32 {
        if self.utf { LAST } else { 255 }
    }
}
