//! Patterns that a linear-time engine can match: written anew in its syntax.

use std::fmt::Write;

use regex_automata::meta::{Cache, Config, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::ast::{Ast, Greed, Node, Place};
use super::backtrack::UNSET;
use super::set::{INVALID, Set};

/// Bytes that one compiled pattern may take there.
const MOST_BYTES: usize = 256 << 10;
/// What a search may cost, in characters times states; past it the bounded matcher takes over, which can be stopped.
const MOST_WORK: usize = 400_000;

/// A pattern in the linear engine.
pub(super) struct Linear {
    regex: Regex,
    cache: Cache,
    captures: Captures,
    /// States, about.
    states: usize,
    /// Means something else in a text that ends with a newline.
    minds_last_newline: bool,
}

impl std::fmt::Debug for Linear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linear").field("states", &self.states).finish_non_exhaustive()
    }
}

impl Linear {
    /// The pattern, if it says nothing that this engine lacks or takes otherwise, and is small enough.
    pub(super) fn new(ast: &Ast, utf: bool) -> Option<Self> {
        // In text that is not UTF-8 it would find nothing at places where our own matcher does.
        if utf && ast.node.may_be_empty() {
            return None;
        }
        let mut writer = Writer { out: String::new(), utf, minds_last_newline: false };
        let states = writer.node(&ast.node)?;
        if states > 5_000 {
            return None;
        }
        let config = Config::new()
            // Without `u` there is a place between any two bytes.
            .utf8_empty(false)
            .nfa_size_limit(Some(MOST_BYTES))
            .onepass_size_limit(Some(MOST_BYTES / 4))
            .hybrid_cache_capacity(MOST_BYTES / 2)
            .dfa(false);
        let syntax = syntax::Config::new().unicode(utf).utf8(false).nest_limit(400);
        let regex = Regex::builder().configure(config).syntax(syntax).build(&writer.out).ok()?;
        // Empty names and numbers as groups have to agree with ours.
        if regex.captures_len() != ast.groups as usize + 1 {
            return None;
        }
        let (cache, captures) = (regex.create_cache(), regex.create_captures());
        Some(Self { regex, cache, captures, states, minds_last_newline: writer.minds_last_newline })
    }

    /// Whether this engine is to search `text` from `from`.
    pub(super) fn is_for(&self, text: &[u8], from: usize) -> bool {
        (text.len() - from).saturating_mul(self.states) <= MOST_WORK
            && !(self.minds_last_newline && text.last() == Some(&b'\n'))
    }

    /// As [`super::backtrack::search`].
    pub(super) fn search(&mut self, text: &[u8], from: usize, anchored: bool, slots: &mut Vec<usize>) -> bool {
        let anchored = if anchored { Anchored::Yes } else { Anchored::No };
        let input = Input::new(text).range(from..).anchored(anchored);
        self.regex.search_captures_with(&mut self.cache, &input, &mut self.captures);
        slots.clear();
        if !self.captures.is_match() {
            return false;
        }
        for group in 0..self.captures.group_len() {
            let span = self.captures.get_group(group);
            slots.extend(span.map_or([UNSET, UNSET], |span| [span.start, span.end]));
        }
        true
    }

    /// Bytes that it takes up, about.
    pub(super) fn size(&self) -> usize {
        self.regex.memory_usage() + self.cache.memory_usage()
    }
}

struct Writer {
    out: String,
    utf: bool,
    minds_last_newline: bool,
}

impl Writer {
    /// Writes `node`; answers with its states, or nothing where this engine has no words for it.
    fn node(&mut self, node: &Node) -> Option<usize> {
        match node {
            Node::Literal(value) => {
                self.character(*value);
                Some(if self.utf { 4 } else { 1 })
            }
            Node::Set(set) => self.set(set),
            Node::Place(place) => self.place(*place),
            Node::Capture(_, node) => {
                self.out.push('(');
                let states = self.node(node)?;
                self.out.push(')');
                Some(states + 2)
            }
            Node::Concat(nodes) => self.all(nodes, ""),
            Node::Alternate(nodes) => {
                self.out.push_str("(?:");
                let states = self.all(nodes, "|")?;
                self.out.push(')');
                Some(states)
            }
            Node::Repeat { node, min, max, greed } => self.repeat(node, *min, *max, *greed),
            Node::Atomic(_) | Node::Look { .. } | Node::Back { .. } => None,
        }
    }

    fn all(&mut self, nodes: &[Node], between: &str) -> Option<usize> {
        let mut states = 1;
        for (at, node) in nodes.iter().enumerate() {
            if at > 0 {
                self.out.push_str(between);
            }
            states += self.node(node)?;
        }
        Some(states)
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greed: Greed) -> Option<usize> {
        // What captures hold after turns that took nothing is told differently.
        if greed == Greed::Possessive || (node.may_be_empty() && max != Some(1)) {
            return None;
        }
        self.out.push_str("(?:");
        let states = self.node(node)?;
        self.out.push(')');
        let _ = match max {
            Some(max) => write!(self.out, "{{{min},{max}}}"),
            None => write!(self.out, "{{{min},}}"),
        };
        if greed == Greed::Lazy {
            self.out.push('?');
        }
        states.checked_mul(max.unwrap_or(min + 1).max(1) as usize)
    }

    fn place(&mut self, place: Place) -> Option<usize> {
        self.out.push_str(match place {
            Place::TextStart => r"\A",
            Place::TextEnd => r"\z",
            Place::LastLineEnd => {
                self.minds_last_newline = true;
                r"\z"
            }
            Place::LineStart => {
                self.minds_last_newline = true;
                "(?m:^)"
            }
            Place::LineEnd => "(?m:$)",
            Place::WordEdge => r"(?-u:\b)",
            Place::NoWordEdge => r"(?-u:\B)",
            Place::SearchStart | Place::Keep => return None,
        });
        Some(1)
    }

    fn character(&mut self, value: u32) {
        let _ = match value {
            _ if self.utf => write!(self.out, "\\x{{{value:X}}}"),
            _ => write!(self.out, "\\x{:02X}", value & 255),
        };
    }

    fn set(&mut self, set: &Set) -> Option<usize> {
        // A byte that is not UTF-8 is a character for our own matcher alone.
        if set.ranges().is_empty() || (self.utf && set.ranges().last().is_some_and(|range| range.1 == INVALID)) {
            return None;
        }
        self.out.push('[');
        if self.utf {
            for (first, last) in set.char_ranges() {
                let _ = write!(self.out, "\\x{{{:X}}}-\\x{{{:X}}}", u32::from(first), u32::from(last));
            }
        } else {
            for (first, last) in set.ranges() {
                let _ = write!(self.out, "\\x{first:02X}-\\x{:02X}", last.min(&255));
            }
        }
        self.out.push(']');
        Some(if self.utf { 4 + set.ranges().len() } else { 1 })
    }
}
