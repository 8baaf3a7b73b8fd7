//! The syntax tree of a pattern.

use std::rc::Rc;

use super::set::Set;

/// How a repetition backtracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greediness {
    /// Takes as much as possible and gives back.
    Greedy,
    /// Takes as little as possible.
    Lazy,
    /// Takes as much as possible and gives nothing back.
    Possessive,
}

/// A zero-width condition on the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assertion {
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
    WordBoundary,
    /// `\B`.
    NotWordBoundary,
    /// `\G`: the start of the search.
    SearchStart,
    /// `\K`: resets the start of the match.
    Keep,
}

/// A pattern's tree.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A byte, or a code point in UTF mode, in the case as written.
    Literal(u32),
    /// One character of a set.
    Set(Rc<Set>),
    Assertion(Assertion),
    /// A capturing group with its number, from 1.
    Capture(u32, Box<Node>),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        /// `None` for any number.
        max: Option<u32>,
        greediness: Greediness,
    },
    /// `(?>...)`
    Atomic(Box<Node>),
    /// `(?=...)`, `(?!...)`, `(?<=...)` and `(?<!...)`.
    Look {
        node: Box<Node>,
        behind: bool,
        negative: bool,
    },
    /// A back-reference to the first of these groups that is set.
    Back {
        groups: Vec<u32>,
        caseless: bool,
    },
}

/// A parsed pattern.
#[derive(Debug)]
pub(super) struct Ast {
    pub(super) node: Node,
    /// Number of capturing groups.
    pub(super) groups: u32,
    /// Names and their groups, in the order of the pattern.
    pub(super) names: Vec<(Box<[u8]>, u32)>,
}

impl Node {
    /// Whether the node may match the empty string; `true` if unknown.
    pub(super) fn may_be_empty(&self) -> bool {
        match self {
            Self::Literal(_) | Self::Set(_) => false,
            Self::Assertion(_) | Self::Look { .. } | Self::Back { .. } => true,
            Self::Capture(_, node) | Self::Atomic(node) => node.may_be_empty(),
            Self::Concat(nodes) => nodes.iter().all(Self::may_be_empty),
            Self::Alternate(nodes) => nodes.iter().any(Self::may_be_empty),
            Self::Repeat { node, min, .. } => *min == 0 || node.may_be_empty(),
        }
    }

    /// The number of characters that the node matches, if that is fixed.
    pub(super) fn width(&self) -> Option<u32> {
        match self {
            Self::Literal(_) | Self::Set(_) => Some(1),
            Self::Assertion(_) | Self::Look { .. } => Some(0),
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

    /// The direct children.
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
