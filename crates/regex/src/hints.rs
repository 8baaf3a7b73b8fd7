//! Hints on where a pattern can match.

use super::ast::{Assertion, Greediness, Node};
use super::set::{INVALID, Set};

/// Where a match can begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hints {
    /// Only at the start of the text.
    pub(super) text_start: bool,
    /// Only at the start of the search and after newlines.
    pub(super) line_start: bool,
    /// Only at the start of the search.
    pub(super) search_start: bool,
    /// Only at one of these bytes.
    pub(super) first: Option<Box<[bool; 256]>>,
    /// Only at this byte.
    pub(super) only: Option<u8>,
}

impl Hints {
    pub(super) fn new(node: &Node, utf: bool) -> Self {
        let mut bytes = Box::new([false; 256]);
        let open = first(node, utf, &mut bytes);
        let count = bytes.iter().filter(|known| **known).count();
        let only = bytes.iter().position(|known| *known).filter(|_| count == 1 && !open).map(|byte| byte as u8);
        let greedy = leading(node).filter(|_| !refers(node));
        let full = |limit: &Set| greedy.is_some_and(|set| set == limit);
        Self {
            text_start: begins_with(node, Assertion::TextStart),
            search_start: begins_with(node, Assertion::SearchStart) || full(&Set::new(Vec::new()).negated(utf)),
            line_start: full(&Set::new(vec![(10, 10)]).negated(utf)),
            first: (!open && count < 256).then_some(bytes),
            only,
        }
    }
}

/// Adds the bytes that a match of the node can begin with. Returns whether it may be empty.
fn first(node: &Node, utf: bool, bytes: &mut [bool; 256]) -> bool {
    match node {
        Node::Assertion(_) | Node::Look { .. } => true,
        Node::Literal(value) => {
            match char::from_u32(*value) {
                Some(character) if utf => bytes[character.encode_utf8(&mut [0; 4]).as_bytes()[0] as usize] = true,
                _ => bytes[(*value & 255) as usize] = true,
            }
            false
        }
        Node::Set(set) => {
            let exact = if utf { 128 } else { 256 };
            (0..exact).filter(|byte| set.has_low(*byte as u8)).for_each(|byte| bytes[byte] = true);
            if utf && set.ranges().last().is_some_and(|range| range.1 >= 128) {
                bytes[128..].fill(true);
            }
            false
        }
        Node::Capture(_, node) | Node::Atomic(node) => first(node, utf, bytes),
        Node::Concat(nodes) => nodes.iter().all(|node| first(node, utf, bytes)),
        Node::Alternate(nodes) => nodes.iter().fold(false, |open, node| first(node, utf, bytes) | open),
        Node::Repeat { node, min, .. } => first(node, utf, bytes) | (*min == 0),
        Node::Back { .. } => {
            bytes.fill(true);
            true
        }
    }
}

fn begins_with(node: &Node, assertion: Assertion) -> bool {
    match node {
        Node::Assertion(own) => *own == assertion,
        Node::Capture(_, node) | Node::Atomic(node) => begins_with(node, assertion),
        Node::Concat(nodes) => nodes.first().is_some_and(|node| begins_with(node, assertion)),
        Node::Alternate(nodes) => nodes.iter().all(|node| begins_with(node, assertion)),
        Node::Repeat { node, min, .. } => *min > 0 && begins_with(node, assertion),
        _ => false,
    }
}

/// The set of the `.*` that the pattern begins with. If the rest fails after it, it fails on the whole line.
fn leading(node: &Node) -> Option<&Set> {
    match node {
        Node::Capture(_, node) => leading(node),
        Node::Concat(nodes) => leading(nodes.first()?),
        Node::Repeat { node, min: 0, max: None, greediness: Greediness::Greedy | Greediness::Lazy } => match &**node {
            Node::Set(set) if set.ranges().last().is_some_and(|range| range.1 == 255 || range.1 == INVALID) => {
                Some(set)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether a match depends on its start.
fn refers(node: &Node) -> bool {
    matches!(node, Node::Back { .. } | Node::Atomic(_) | Node::Assertion(Assertion::SearchStart))
        || matches!(node, Node::Repeat { greediness: Greediness::Possessive, .. })
        || node.children().iter().any(refers)
}
