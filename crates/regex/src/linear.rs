//! Patterns that a linear-time engine can match, translated to its syntax.

use std::fmt::Write;

use regex_automata::meta::{Cache, Config, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::ast::{Assertion, Ast, Greediness, Node};
use super::backtrack::UNSET;
use super::set::{INVALID, Set};

/// Bytes of one compiled pattern.
const MAX_BYTES: usize = 256 << 10;
/// The cost of a search, in characters times states. Costlier searches use the backtracking matcher, which can be stopped.
const MAX_WORK: usize = 400_000;

/// A pattern in the linear engine.
pub(super) struct Linear {
    regex: Regex,
    cache: Cache,
    captures: Captures,
    /// The approximate number of states.
    states: usize,
    /// The translation is wrong for a text that ends with a newline.
    depends_on_last_newline: bool,
}

impl std::fmt::Debug for Linear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linear").field("states", &self.states).finish_non_exhaustive()
    }
}

impl Linear {
    /// Translates the pattern, if the engine supports all of it with the same meaning and it is small enough.
    pub(super) fn new(ast: &Ast, utf: bool) -> Option<Self> {
        // In text that is not UTF-8 it would miss positions that the backtracking matcher finds.
        if utf && ast.node.may_be_empty() {
            return None;
        }
        let mut writer = Writer { out: String::new(), utf, depends_on_last_newline: false };
        let states = writer.node(&ast.node)?;
        if states > 5_000 {
            return None;
        }
        let config = Config::new()
            // Without `u` any offset between two bytes is a position.
            .utf8_empty(false)
            .nfa_size_limit(Some(MAX_BYTES))
            .onepass_size_limit(Some(MAX_BYTES / 4))
            .hybrid_cache_capacity(MAX_BYTES / 2)
            .dfa(false);
        let syntax = syntax::Config::new().unicode(utf).utf8(false).nest_limit(400);
        let regex = Regex::builder().configure(config).syntax(syntax).build(&writer.out).ok()?;
        // The numbering of groups has to agree with the tree.
        if regex.captures_len() != ast.groups as usize + 1 {
            return None;
        }
        let (cache, captures) = (regex.create_cache(), regex.create_captures());
        Some(Self { regex, cache, captures, states, depends_on_last_newline: writer.depends_on_last_newline })
    }

    /// Whether this engine should search `text` from `from`.
    pub(super) fn is_for(&self, text: &[u8], from: usize) -> bool {
        (text.len() - from).saturating_mul(self.states) <= MAX_WORK
            && !(self.depends_on_last_newline && text.last() == Some(&b'\n'))
    }

    /// Like [`super::backtrack::search`].
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

    /// The approximate size in bytes.
    pub(super) fn size(&self) -> usize {
        self.regex.memory_usage() + self.cache.memory_usage()
    }
}

struct Writer {
    out: String,
    utf: bool,
    depends_on_last_newline: bool,
}

impl Writer {
    /// Writes `node`. Returns its number of states, or `None` if the engine does not support it.
    fn node(&mut self, node: &Node) -> Option<usize> {
        match node {
            Node::Literal(value) => {
                self.character(*value);
                Some(if self.utf { 4 } else { 1 })
            }
            Node::Set(set) => self.set(set),
            Node::Assertion(assertion) => self.assertion(*assertion),
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
            Node::Repeat { node, min, max, greediness } => self.repeat(node, *min, *max, *greediness),
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

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greediness: Greediness) -> Option<usize> {
        // The engines disagree on captures after empty iterations.
        if greediness == Greediness::Possessive || (node.may_be_empty() && max != Some(1)) {
            return None;
        }
        self.out.push_str("(?:");
        let states = self.node(node)?;
        self.out.push(')');
        let _ = match max {
            Some(max) => write!(self.out, "{{{min},{max}}}"),
            None => write!(self.out, "{{{min},}}"),
        };
        if greediness == Greediness::Lazy {
            self.out.push('?');
        }
        states.checked_mul(max.unwrap_or(min + 1).max(1) as usize)
    }

    fn assertion(&mut self, assertion: Assertion) -> Option<usize> {
        self.out.push_str(match assertion {
            Assertion::TextStart => r"\A",
            Assertion::TextEnd => r"\z",
            Assertion::LastLineEnd => {
                self.depends_on_last_newline = true;
                r"\z"
            }
            Assertion::LineStart => {
                self.depends_on_last_newline = true;
                "(?m:^)"
            }
            Assertion::LineEnd => "(?m:$)",
            Assertion::WordBoundary => r"(?-u:\b)",
            Assertion::NotWordBoundary => r"(?-u:\B)",
            Assertion::SearchStart | Assertion::Keep => return None,
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
        // A byte that is not UTF-8 is a character for the backtracking matcher only.
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
