//! What a parsed pattern is.

use std::rc::Rc;

use super::set::Set;

/// How far a repetition goes first, and whether it gives anything back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greed {
    /// As far as it can, giving back what it took.
    Greedy,
    /// As little as it can.
    Lazy,
    /// As far as it can, giving nothing back.
    Possessive,
}

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `\A`, and `^` without `m`.
    TextStart,
    /// `\z`.
    TextEnd,
    /// `\Z`, and `$` without `m`: the end, or before a newline that is the end.
    LastLineEnd,
    /// `^` with `m`.
    LineStart,
    /// `$` with `m`.
    LineEnd,
    /// `\b`.
    WordEdge,
    /// `\B`.
    NoWordEdge,
    /// `\G`: where the search began.
    SearchStart,
    /// `\K`: the match begins here.
    Keep,
}

/// A pattern's tree.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A byte, or a code point in UTF mode; the case is as written.
    Literal(u32),
    /// One character out of a set.
    Set(Rc<Set>),
    Place(Place),
    /// A capturing group with its number, from 1.
    Capture(u32, Box<Node>),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        /// `None` for any number.
        max: Option<u32>,
        greed: Greed,
    },
    /// `(?>...)`
    Atomic(Box<Node>),
    /// `(?=...)` and its kin.
    Look {
        node: Box<Node>,
        behind: bool,
        negative: bool,
    },
    /// What any of these groups has matched, the first that has.
    Back {
        groups: Vec<u32>,
        caseless: bool,
    },
}

/// A pattern as a whole.
#[derive(Debug)]
pub(super) struct Ast {
    pub(super) node: Node,
    /// Number of capturing groups.
    pub(super) groups: u32,
    /// Names and the groups they belong to, in the order of the pattern.
    pub(super) names: Vec<(Box<[u8]>, u32)>,
}

impl Node {
    /// Whether the node can match without taking anything; `true` in doubt.
    pub(super) fn may_be_empty(&self) -> bool {
        match self {
            Self::Literal(_) | Self::Set(_) => false,
            Self::Place(_) | Self::Look { .. } | Self::Back { .. } => true,
            Self::Capture(_, node) | Self::Atomic(node) => node.may_be_empty(),
            Self::Concat(nodes) => nodes.iter().all(Self::may_be_empty),
            Self::Alternate(nodes) => nodes.iter().any(Self::may_be_empty),
            Self::Repeat { node, min, .. } => *min == 0 || node.may_be_empty(),
        }
    }

    /// How many characters the node takes, if that is always the same number.
    pub(super) fn width(&self) -> Option<u32> {
        match self {
            Self::Literal(_) | Self::Set(_) => Some(1),
            Self::Place(_) | Self::Look { .. } => Some(0),
            Self::Capture(_, node) | Self::Atomic(node) => node.width(),
            Self::Concat(nodes) => nodes.iter().try_fold(0_u32, |sum, node| sum.checked_add(node.width()?)),
            Self::Alternate(nodes) => {
                let mut widths = nodes.iter().map(Self::width);
                let first = widths.next().unwrap_or(Some(0))?;
                widths.all(|width| width == Some(first)).then_some(first)
            }
            Self::Repeat { node, min, max, .. } => match node.width()? {
                _ if *max != Some(*min) => None,
                width => width.checked_mul(*min),
            },
            Self::Back { .. } => None,
        }
    }

    /// The nodes right below this one.
    pub(super) fn children(&self) -> &[Node] {
        match self {
            Self::Concat(nodes) | Self::Alternate(nodes) => nodes,
            Self::Capture(_, node) | Self::Atomic(node) | Self::Repeat { node, .. } | Self::Look { node, .. } => {
                std::slice::from_ref(&**node)
            }
            _ => &[],
        }
    }
}
