//! Escapes.

use std::rc::Rc;

use super::super::ast::{Assertion, Node};
use super::super::set::{Set, of_letter, of_property};
use super::{ParseError, Parser, Result};

impl Parser<'_> {
    /// Parses an escape after its backslash.
    pub(super) fn escape(&mut self) -> Result<Node> {
        let Some(letter) = self.peek() else { return Err(self.error("\\ at end of pattern")) };
        if let Some(ranges) = of_letter(letter, self.utf) {
            self.at += 1;
            return Ok(Node::Set(Rc::new(Set::new(ranges))));
        }
        let assertion = match letter {
            b'A' => Assertion::TextStart,
            b'z' => Assertion::TextEnd,
            b'Z' => Assertion::LastLineEnd,
            b'b' => Assertion::WordBoundary,
            b'B' => Assertion::NotWordBoundary,
            b'G' => Assertion::SearchStart,
            b'K' => Assertion::Keep,
            _ => return self.other_escape(letter),
        };
        self.at += 1;
        Ok(Node::Assertion(assertion))
    }

    fn other_escape(&mut self, letter: u8) -> Result<Node> {
        match letter {
            b'p' | b'P' => Ok(Node::Set(Rc::new(self.property()?))),
            b'N' => {
                self.at += 1;
                Ok(self.not_newline())
            }
            b'R' => {
                self.at += 1;
                Ok(self.line_break())
            }
            b'g' | b'k' => self.reference(letter),
            b'X' | b'C' => Err(self.error(&format!("\\{} is not supported", char::from(letter)))),
            b'1'..=b'9' => self.numbered(),
            _ => self.escaped_character().map(|value| self.literal(value)),
        }
    }

    /// `\R`: a line ending, never half of one.
    fn line_break(&self) -> Node {
        let mut single = vec![(10, 13), (0x85, 0x85)];
        if self.utf {
            single.push((0x2028, 0x2029));
        }
        let both = Node::Concat(vec![Node::Literal(13), Node::Literal(10)]);
        Node::Atomic(Box::new(Node::Alternate(vec![both, Node::Set(Rc::new(Set::new(single)))])))
    }

    /// A plain number is a group, or an octal character if there is no such group before it.
    fn numbered(&mut self) -> Result<Node> {
        let begin = self.at;
        let number = self.number();
        if number < 10 || number <= self.groups {
            return Ok(self.back(number, begin));
        }
        self.at = begin;
        let value = match self.peek() {
            Some(b'8' | b'9') => {
                self.at += 1;
                u32::from(self.pattern[begin])
            }
            _ => self.octal(3),
        };
        Ok(self.literal(value))
    }

    fn number(&mut self) -> u32 {
        let mut number = 0_u32;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            number = number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
            self.at += 1;
        }
        number
    }

    pub(super) fn back(&mut self, number: u32, at: usize) -> Node {
        if number > self.referred.0 {
            self.referred = (number, at);
        }
        Node::Back { groups: vec![number], caseless: self.flags.caseless }
    }

    /// `\g1`, `\g{-1}`, `\g{name}`, `\k<name>`, `\k'name'`, `\k{name}`.
    fn reference(&mut self, letter: u8) -> Result<Node> {
        let begin = self.at;
        self.at += 1;
        let open = self.peek();
        if letter == b'g' && matches!(open, Some(b'<' | b'\'')) {
            return Err(self.error("calling a group as a subroutine is not supported"));
        }
        let (braced, close) = match open {
            Some(b'{') => (true, b'}'),
            Some(b'<') => (true, b'>'),
            Some(b'\'') => (true, b'\''),
            _ => (false, 0),
        };
        self.at += usize::from(braced);
        if letter == b'k' {
            if !braced {
                return Err(self.error("\\k is not followed by a braced, angle-bracketed, or quoted name"));
            }
            return self.named_reference(close);
        }
        let negative = self.eat(b"-");
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return match braced && !negative {
                true => self.named_reference(close),
                false => Err(self.error("a numbered reference must not be zero")),
            };
        }
        let mut number = self.number();
        if braced && !self.eat(&[close]) {
            return Err(self.error(
                "\\g is not followed by a braced, angle-bracketed, or quoted name/number or by a plain number",
            ));
        }
        if negative {
            number = (self.groups + 1).saturating_sub(number);
        }
        match number {
            0 => Err(self.error("reference to non-existent subpattern")),
            _ => Ok(self.back(number, begin)),
        }
    }

    /// A reference to an earlier group by its name.
    pub(super) fn named_reference(&mut self, close: u8) -> Result<Node> {
        let name = self.name(close)?;
        let groups: Vec<_> = self.names.iter().filter(|known| known.0 == name).map(|known| known.1).collect();
        if groups.is_empty() {
            return Err(self.error("reference to non-existent subpattern"));
        }
        Ok(Node::Back { groups, caseless: self.flags.caseless })
    }

    /// A name and its terminator.
    pub(super) fn name(&mut self, close: u8) -> Result<Box<[u8]>> {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let name: Box<[u8]> = rest[..length].into();
        if name.first().is_none_or(u8::is_ascii_digit) {
            return Err(self.error("subpattern name expected"));
        }
        if length > 32 {
            return Err(self.error("subpattern name is too long (maximum 32 characters)"));
        }
        self.at += length;
        if !self.eat(&[close]) {
            return Err(self.error("syntax error in subpattern name (missing terminator)"));
        }
        Ok(name)
    }

    /// Up to `max` octal digits.
    pub(super) fn octal(&mut self, max: usize) -> u32 {
        let mut value = 0;
        for _ in 0..max {
            let Some(digit @ b'0'..=b'7') = self.peek() else { break };
            value = value * 8 + u32::from(digit - b'0');
            self.at += 1;
        }
        if self.utf { value } else { value & 255 }
    }

    /// A character written by an escape.
    pub(super) fn escaped_character(&mut self) -> Result<u32> {
        let Some(value) = self.character() else { return Err(self.error("\\ at end of pattern")) };
        let Ok(letter) = u8::try_from(value) else { return Ok(value) };
        Ok(match letter {
            b'a' => 7,
            b'e' => 27,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'0' => self.octal(2),
            b'o' if self.peek() == Some(b'{') => self.braced(8)?,
            b'x' if self.peek() == Some(b'{') && !self.javascript => self.braced(16)?,
            b'x' => self.hexadecimal(2),
            b'u' if self.javascript => self.hexadecimal(4),
            b'c' => match self.character() {
                Some(value @ 0..128) => u32::from((value as u8).to_ascii_uppercase() ^ 64),
                _ => return Err(self.error("\\c must be followed by an ASCII character")),
            },
            b'L' | b'l' | b'N' | b'U' | b'u' => {
                return Err(self.error("PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u"));
            }
            _ if letter.is_ascii_alphabetic() && matches!(letter, b'E' | b'Q') => 0,
            _ => value,
        })
    }

    fn hexadecimal(&mut self, max: usize) -> u32 {
        let mut value = 0;
        for _ in 0..max {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else { break };
            value = value * 16 + digit;
            self.at += 1;
        }
        value.min(self.greatest())
    }

    /// A number in braces.
    fn braced(&mut self, radix: u32) -> Result<u32> {
        self.at += 1;
        let mut value = 0_u32;
        while let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(radix)) {
            value = value.saturating_mul(radix).saturating_add(digit);
            self.at += 1;
        }
        if !self.eat(b"}") {
            return Err(self.error("non-hex or non-octal character in braces (closing brace missing?)"));
        }
        if value > self.greatest() {
            return Err(self.error("character value in \\x{} or \\o{} is too large"));
        }
        if (0xD800..0xE000).contains(&value) {
            return Err(self.error("disallowed Unicode code point (>= 0xd800 && <= 0xdfff)"));
        }
        Ok(value)
    }

    /// `\pL`, `\p{Greek}`, `\p{^Lu}`, `\P{L}`.
    pub(super) fn property(&mut self) -> Result<Set> {
        let mut negative = self.peek() == Some(b'P');
        self.at += 1;
        if !self.utf {
            return Err(self.error("\\p needs the option u"));
        }
        let malformed = |parser: &Self| parser.error("malformed \\P or \\p sequence");
        let name = if self.eat(b"{") {
            negative ^= self.eat(b"^");
            let length = self.rest().iter().position(|byte| *byte == b'}').ok_or_else(|| malformed(self))?;
            let name = String::from_utf8_lossy(&self.rest()[..length]).into_owned();
            self.at += length + 1;
            name
        } else {
            let letter = self.character().and_then(char::from_u32).ok_or_else(|| malformed(self))?;
            letter.to_string()
        };
        self.count_table()?;
        let ranges = of_property(&name)
            .ok_or_else(|| ParseError { what: "unknown property name after \\P or \\p".to_owned(), at: self.at })?;
        let set = Set::new(ranges);
        Ok(if negative { set.negated(true) } else { set })
    }
}
