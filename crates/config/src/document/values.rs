//! Where the keys and values of documents are, as opposed to comments.

use std::ops::Range;

use super::environment::Failed;
use super::{Location, Node, NodeKind, StringStyle};

/// Those of `failed` that are in a key or value of the documents, each with the bytes of that key or value in the parsed
/// text. The others are in comments.
pub(super) fn failed(roots: &[Node], failed: Vec<Failed>) -> impl Iterator<Item = (Failed, Range<usize>)> {
    let mut spans = Vec::new();
    if !failed.is_empty() {
        roots.iter().for_each(|root| scalars(root, &mut spans));
        spans.sort_unstable();
    }
    failed.into_iter().filter_map(move |failed| {
        // Scalars do not overlap: the last one that starts early enough is the only one that can reach so far.
        let before = spans.partition_point(|(start, _)| *start < failed.at.end);
        let (start, end) = *spans.get(before.checked_sub(1)?)?;
        (end > failed.at.start).then_some((failed, start..end))
    })
}

/// Where the keys and scalars of `node` start and end in the parsed text.
fn scalars(node: &Node, spans: &mut Vec<(usize, usize)>) {
    fn add(location: &Location, spans: &mut Vec<(usize, usize)>) {
        if let Location::Text { span, .. } = location {
            spans.push((span.start, span.end));
        }
    }
    match &node.kind {
        NodeKind::Sequence(items) => items.iter().for_each(|item| scalars(item, spans)),
        NodeKind::Mapping(entries) => {
            for (key, value) in entries {
                add(&key.location, spans);
                scalars(value, spans);
            }
        }
        NodeKind::String { value, style: StringStyle::Block } => {
            if let Location::Text { text, span } = &node.location {
                let raw = text.as_str().get(span.clone()).unwrap_or_default();
                spans.push((span.start, span.start + block_length(raw, value)));
            }
        }
        _ => add(&node.location, spans),
    }
}

/// The bytes of `raw` that the block scalar `value` takes: the parser counts the comments after it, too.
fn block_length(raw: &str, value: &str) -> usize {
    let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
    let (wanted, mut seen, mut length) = (visible(value), 0, 0);
    for line in raw.split_inclusive('\n') {
        if seen >= wanted {
            break;
        }
        seen += visible(line);
        length += line.len();
    }
    length
}
