//! Reads PCRE's patterns.

mod class;
mod escape;
mod group;

use std::rc::Rc;

use super::ast::{Ast, Greed, Node, Place};
use super::options::Options;
use super::set::{INVALID, Set};

/// Bytes that a pattern may have.
const LONGEST: usize = 8 << 10;
/// How deep groups may nest.
const DEEPEST: usize = 100;
/// Sets out of tables of Unicode that a pattern may have.
const MOST_TABLES: u32 = 32;
/// How often something may be repeated by a number, as in PCRE.
const MOST_TIMES: u32 = 65_535;

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// PCRE's words.
    pub(super) what: String,
    /// The byte it was found at.
    pub(super) at: usize,
}

type Result<T> = std::result::Result<T, Mistake>;

/// Settings that `(?...)` changes.
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
    /// The greatest group that is referred to, and where.
    referred: (u32, usize),
    /// Between `\Q` and `\E`.
    quoting: bool,
    /// How many sets so far were made out of tables of Unicode.
    tables: u32,
}

/// Reads a pattern.
///
/// # Errors
/// The first mistake, in PCRE's words.
pub(super) fn parse(pattern: &[u8], options: Options) -> Result<Ast> {
    if pattern.len() > LONGEST {
        return Err(Mistake { what: "regular expression is too large".to_owned(), at: pattern.len() });
    }
    if let (true, Err(error)) = (options.utf, std::str::from_utf8(pattern)) {
        return Err(Mistake { what: "invalid UTF-8 string".to_owned(), at: error.valid_up_to() });
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
        return Err(parser.mistake("unmatched parentheses"));
    }
    if parser.referred.0 > parser.groups {
        return Err(Mistake { what: "reference to non-existent subpattern".to_owned(), at: parser.referred.1 });
    }
    Ok(Ast { node, groups: parser.groups, names: parser.names })
}

/// The character at `at`, and how many bytes it has. A byte that is not UTF-8 is one of its own.
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
    /// Counts a set that is made out of tables of Unicode, each of which takes some hundred microseconds.
    fn count_table(&mut self) -> Result<()> {
        self.tables += 1;
        if self.tables > MOST_TABLES { Err(self.mistake("regular expression is too large")) } else { Ok(()) }
    }

    fn mistake(&self, what: &str) -> Mistake {
        Mistake { what: what.to_owned(), at: self.at.min(self.pattern.len()) }
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

    /// Passes over what means nothing: quotes' ends, comments, and white space with `x`.
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

    /// One thing that may be repeated; `None` for what only changes the flags.
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
            b'^' => Node::Place(if self.flags.multiline { Place::LineStart } else { Place::TextStart }),
            b'$' => Node::Place(if self.flags.multiline { Place::LineEnd } else { Place::LastLineEnd }),
            b'*' | b'+' | b'?' => return Err(self.mistake("nothing to repeat")),
            b'{' if self.count_at(begin).is_some() => return Err(self.mistake("nothing to repeat")),
            b']' if self.javascript => {
                return Err(self.mistake("] is an invalid data character in JavaScript compatibility mode"));
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

    /// The counts written in braces at `begin`, and where they end.
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
        if min.max(max.unwrap_or(0)) > MOST_TIMES {
            return Err(self.mistake("number too big in {} quantifier"));
        }
        if max.is_some_and(|max| max < min) {
            return Err(self.mistake("numbers out of order in {} quantifier"));
        }
        // An assertion has said all that it has to say the first time.
        let (min, max) = match &node {
            Node::Place(_) => return Err(self.mistake("nothing to repeat")),
            Node::Look { .. } => (min.min(1), Some(max.unwrap_or(1).min(1))),
            _ => (min, max),
        };
        let greed = match self.peek() {
            Some(b'+') => Greed::Possessive,
            Some(b'?') if !self.flags.ungreedy => Greed::Lazy,
            Some(b'?') => Greed::Greedy,
            _ if self.flags.ungreedy => Greed::Lazy,
            _ => Greed::Greedy,
        };
        self.at += usize::from(matches!(self.peek(), Some(b'+' | b'?')));
        Ok(Node::Repeat { node: Box::new(node), min, max, greed })
    }
}
