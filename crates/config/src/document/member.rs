//! The origin of a member that is named by its path.

use super::{Key, Node, NodeKind};
use crate::diagnostic::Origin;

/// The origin of the member at `path` below `node`, or of its nearest ancestor below `node`.
pub(super) fn origin(node: &Node, path: &str) -> Option<Origin> {
    let (key, child, rest) = step(node, path)?;
    let inner = if rest.is_empty() { None } else { origin(child, rest) };
    Some(inner.unwrap_or_else(|| own(key, child)))
}

/// The child that `path` begins with, its key, and the rest of the path.
fn step<'a, 'p>(node: &'a Node, path: &'p str) -> Option<(Option<&'a Key>, &'a Node, &'p str)> {
    if let Some((index, rest)) = path.strip_prefix('[').and_then(|path| path.split_once(']')) {
        let child = node.items()?.get(index.parse::<usize>().ok()?)?;
        return Some((None, child, rest.strip_prefix('.').unwrap_or(rest)));
    }
    // The longest key wins: `a.b` may be one key, or `b` in `a`.
    let fits = node.entries()?.iter().filter_map(|(key, child)| {
        let rest = path.strip_prefix(key.name.as_str())?;
        let rest =
            rest.strip_prefix('.').or_else(|| Some(rest).filter(|rest| rest.is_empty() || rest.starts_with('[')))?;
        Some((Some(key), child, rest))
    });
    fits.max_by_key(|(key, ..)| key.map_or(0, |key| key.name.len()))
}

/// A mapping, and a value without text, have the origin of their key.
fn own(key: Option<&Key>, node: &Node) -> Origin {
    match (key, &node.kind) {
        (Some(key), NodeKind::Mapping(_) | NodeKind::Null) => key.origin(),
        _ => node.origin(),
    }
}
