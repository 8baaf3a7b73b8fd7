//! The parser of PCRE's patterns.

mod class;
mod escape;
mod group;

use std::rc::Rc;

use super::ast::{Assertion, Ast, Greediness, Node};
use super::options::Options;
use super::set::{INVALID, Set};

/// Bytes of a pattern.
const MAX_PATTERN: usize = 8 << 10;
/// Levels of nested groups.
const MAX_DEPTH: usize = 100;
/// Sets of a pattern that are built from Unicode tables.
const MAX_TABLES: u32 = 32;
/// The largest repetition count, as in PCRE.
const MAX_REPEAT: u32 = 65_535;

/// A malformed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParseError {
    /// PCRE's message.
    pub(super) what: String,
    /// The offset in bytes.
    pub(super) at: usize,
}

type Result<T> = std::result::Result<T, ParseError>;

/// Flags that `(?...)` changes.
#[derive(Debug, Clone, Copy)]
struct Flags {
    caseless: bool,
    multiline: bool,
    dot_all: bool,
    extended: bool,
    ungreedy: bool,
    duplicates: bool,
}

struct Parser<'p> {
    pattern: &'p [u8],
    at: usize,
    utf: bool,
    javascript: bool,
    flags: Flags,
    depth: usize,
    groups: u32,
    names: Vec<(Box<[u8]>, u32)>,
    /// The greatest referenced group, and the offset of the reference.
    referred: (u32, usize),
    /// Between `\Q` and `\E`.
    quoting: bool,
    /// How many sets were built from Unicode tables so far.
    tables: u32,
}

/// Parses a pattern.
///
/// # Errors
/// The first error, in PCRE's words.
pub(super) fn parse(pattern: &[u8], options: Options) -> Result<Ast> {
    if pattern.len() > MAX_PATTERN {
        return Err(ParseError { what: "regular expression is too large".to_owned(), at: pattern.len() });
    }
    if let (true, Err(error)) = (options.utf, std::str::from_utf8(pattern)) {
        return Err(ParseError { what: "invalid UTF-8 string".to_owned(), at: error.valid_up_to() });
    }
    let flags = Flags {
        caseless: options.caseless,
        multiline: options.multiline,
        dot_all: options.dot_all,
        extended: options.extended,
        ungreedy: false,
        duplicates: options.duplicates,
    };
    let mut parser = Parser {
        pattern,
        at: 0,
        utf: options.utf,
        javascript: options.javascript,
        flags,
        depth: 0,
        groups: 0,
        names: Vec::new(),
        referred: (0, 0),
        quoting: false,
        tables: 0,
    };
    let node = parser.alternatives()?;
    if parser.at < pattern.len() {
        return Err(parser.error("unmatched parentheses"));
    }
    if parser.referred.0 > parser.groups {
        return Err(ParseError { what: "reference to non-existent subpattern".to_owned(), at: parser.referred.1 });
    }
    Ok(Ast { node, groups: parser.groups, names: parser.names })
}

/// The character at `at` and its length in bytes. A byte that is not UTF-8 counts as a character.
pub(super) fn decode(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = *text.get(at)?;
    let (length, bits) = match first {
        0..0x80 => return Some((u32::from(first), 1)),
        0xC2..0xE0 => (2, first & 0x1F),
        0xE0..0xF0 => (3, first & 0x0F),
        0xF0..0xF5 => (4, first & 0x07),
        _ => return Some((INVALID, 1)),
    };
    let mut value = u32::from(bits);
    for offset in 1..length {
        match text.get(at + offset) {
            Some(byte) if byte & 0xC0 == 0x80 => value = value << 6 | u32::from(byte & 0x3F),
            _ => return Some((INVALID, 1)),
        }
    }
    let least = if length == 3 { 0x800 } else { 0x1_0000 };
    if length > 2 && (value < least || char::from_u32(value).is_none()) {
        return Some((INVALID, 1));
    }
    Some((value, length))
}

impl Parser<'_> {
    /// Counts a set that is built from Unicode tables, which takes some hundred microseconds each.
    fn count_table(&mut self) -> Result<()> {
        self.tables += 1;
        if self.tables > MAX_TABLES { Err(self.error("regular expression is too large")) } else { Ok(()) }
    }

    fn error(&self, what: &str) -> ParseError {
        ParseError { what: what.to_owned(), at: self.at.min(self.pattern.len()) }
    }

    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        &self.pattern[self.at.min(self.pattern.len())..]
    }

    fn eat(&mut self, text: &[u8]) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// The next character.
    fn character(&mut self) -> Option<u32> {
        let (value, length) = match self.utf {
            true => decode(self.pattern, self.at)?,
            false => (u32::from(self.peek()?), 1),
        };
        self.at += length;
        Some(value)
    }

    fn alternatives(&mut self) -> Result<Node> {
        let mut branches = vec![self.sequence()?];
        while self.eat(b"|") {
            branches.push(self.sequence()?);
        }
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Alternate(branches) })
    }

    fn sequence(&mut self) -> Result<Node> {
        let mut nodes = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                None => break,
                Some(b'|' | b')') if !self.quoting => break,
                Some(_) => {}
            }
            let Some(node) = self.atom()? else { continue };
            self.skip();
            nodes.push(self.repeated(node)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Concat(nodes) })
    }

    /// Skips ends of quotes, comments, and white space with `x`.
    fn skip(&mut self) {
        loop {
            if self.quoting {
                if !self.eat(b"\\E") {
                    return;
                }
                self.quoting = false;
            }
            if self.eat(b"\\Q") {
                self.quoting = true;
            } else if self.eat(b"\\E") {
            } else if self.rest().starts_with(b"(?#") && self.rest().contains(&b')') {
                self.at += self.rest().iter().position(|byte| *byte == b')').unwrap_or(0) + 1;
            } else if self.flags.extended && self.peek().is_some_and(|byte| matches!(byte, 9..=13 | b' ')) {
                self.at += 1;
            } else if self.flags.extended && self.peek() == Some(b'#') {
                let line = self.rest().iter().position(|byte| *byte == b'\n');
                self.at = line.map_or(self.pattern.len(), |length| self.at + length + 1);
            } else {
                return;
            }
        }
    }

    /// One repeatable item; `None` if it only changes the flags.
    fn atom(&mut self) -> Result<Option<Node>> {
        if self.quoting {
            return Ok(self.character().map(|value| self.literal(value)));
        }
        let begin = self.at;
        let Some(value) = self.character() else { return Ok(None) };
        Ok(Some(match u8::try_from(value).unwrap_or(0) {
            b'(' => return self.group(),
            b'[' => Node::Set(Rc::new(self.class()?)),
            b'\\' => self.escape()?,
            b'.' if self.flags.dot_all => self.any(),
            b'.' => self.not_newline(),
            b'^' => Node::Assertion(if self.flags.multiline { Assertion::LineStart } else { Assertion::TextStart }),
            b'$' => Node::Assertion(if self.flags.multiline { Assertion::LineEnd } else { Assertion::LastLineEnd }),
            b'*' | b'+' | b'?' => return Err(self.error("nothing to repeat")),
            b'{' if self.count_at(begin).is_some() => return Err(self.error("nothing to repeat")),
            b']' if self.javascript => {
                return Err(self.error("] is an invalid data character in JavaScript compatibility mode"));
            }
            _ => self.literal(value),
        }))
    }

    fn any(&self) -> Node {
        Node::Set(Rc::new(Set::new(Vec::new()).negated(self.utf)))
    }

    fn not_newline(&self) -> Node {
        Node::Set(Rc::new(Set::new(vec![(10, 10)]).negated(self.utf)))
    }

    fn literal(&self, value: u32) -> Node {
        if self.flags.caseless {
            let set = Set::new(vec![(value, value)]).caseless(self.utf);
            if set.ranges() != [(value, value)] {
                return Node::Set(Rc::new(set));
            }
        }
        Node::Literal(value)
    }

    /// The counts in the braces at `begin`, and where they end.
    fn count_at(&self, begin: usize) -> Option<(u32, Option<u32>, usize)> {
        let digits = |mut at: usize| {
            let begin = at;
            let mut number = 0_u32;
            while let Some(digit) = self.pattern.get(at).filter(|byte| byte.is_ascii_digit()) {
                number = number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
                at += 1;
            }
            (at > begin).then_some((number, at))
        };
        let (min, at) = digits(begin + 1)?;
        match self.pattern.get(at)? {
            b'}' => Some((min, Some(min), at + 1)),
            b',' if self.pattern.get(at + 1) == Some(&b'}') => Some((min, None, at + 2)),
            b',' => {
                let (max, at) = digits(at + 1)?;
                (self.pattern.get(at) == Some(&b'}')).then_some((min, Some(max), at + 1))
            }
            _ => None,
        }
    }

    fn repeated(&mut self, node: Node) -> Result<Node> {
        if self.quoting {
            return Ok(node);
        }
        let (min, max) = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => match self.count_at(self.at) {
                Some((min, max, end)) => {
                    self.at = end - 1;
                    (min, max)
                }
                None => return Ok(node),
            },
            _ => return Ok(node),
        };
        self.at += 1;
        if min.max(max.unwrap_or(0)) > MAX_REPEAT {
            return Err(self.error("number too big in {} quantifier"));
        }
        if max.is_some_and(|max| max < min) {
            return Err(self.error("numbers out of order in {} quantifier"));
        }
        // Repeating an assertion changes nothing.
        let (min, max) = match &node {
            Node::Assertion(_) => return Err(self.error("nothing to repeat")),
            Node::Look { .. } => (min.min(1), Some(max.unwrap_or(1).min(1))),
            _ => (min, max),
        };
        let greediness = match self.peek() {
            Some(b'+') => Greediness::Possessive,
            Some(b'?') if !self.flags.ungreedy => Greediness::Lazy,
            Some(b'?') => Greediness::Greedy,
            _ if self.flags.ungreedy => Greediness::Lazy,
            _ => Greediness::Greedy,
        };
        self.at += usize::from(matches!(self.peek(), Some(b'+' | b'?')));
        Ok(Node::Repeat { node: Box::new(node), min, max, greediness })
    }
}
