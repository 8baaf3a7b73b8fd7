//! Edits a value in a YAML or JSON file, and leaves the rest of the text unchanged.

use std::io::Write;
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};

use super::bless::EditMode;
use super::pattern::{Matcher, same};
use logphase_config::document::{Key, Node, NodeKind, StringStyle};

/// The maximum length of a list of scalars on one line.
const MAX_LINE_LENGTH: usize = 100;

/// Returns `text` with the node `old`, which is inside of `outer`, changed to `new`. `None` if it is an alias of a node
/// elsewhere.
pub(super) fn update(text: &str, outer: &Node, old: &Node, new: &Value, mode: EditMode) -> Option<String> {
    let mut edits = Edits { text, mode, list: Vec::new() };
    let span = outer.span();
    let parent = if flow(text, outer) { Parent::Flow } else { Parent::Mapping(column(text, span.start)) };
    edits.change(old, &span, parent, new)?;
    edits.apply()
}

/// Returns `text` with the key `name` added at the end of the mapping `node`.
pub(super) fn insert(text: &str, node: &Node, name: &str, value: &Value) -> String {
    let end = end(text, node);
    let (at, new) = if flow(text, node) {
        let close = end - 1;
        let at = text[..close].trim_end().len();
        let value = in_flow(text, value);
        (at, if json(text) { format!(", \"{name}\": {value}") } else { format!(", {name}: {value}") })
    } else {
        let mut new = String::new();
        member(name, value, column(text, node.span().start), &mut new);
        (line_end(text, end), new)
    };
    let new = if text.contains("\r\n") { new.replace('\n', "\r\n") } else { new };
    format!("{}{new}{}", &text[..at], &text[at..])
}

/// The context of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    /// Inside of a flow collection (brackets).
    Flow,
    /// The value of a key at this indentation.
    Mapping(usize),
    /// An item of a block sequence, after `- `.
    Sequence,
}

struct Edits<'a> {
    text: &'a str,
    mode: EditMode,
    list: Vec<(Range<usize>, String)>,
}

impl Edits<'_> {
    /// Changes `old` to `new`. `None` if `old` is not inside of `outer`.
    fn change(&mut self, old: &Node, outer: &Range<usize>, parent: Parent, new: &Value) -> Option<()> {
        let span = old.span();
        if !span_inside(&span, outer) {
            return None;
        }
        if same(&old.to_json(), new) {
            return Some(());
        }
        let inside = if flow(self.text, old) { Parent::Flow } else { parent };
        let before = self.list.len();
        let parts = match (&old.kind, new) {
            _ if self.mode == EditMode::Replace || Matcher::of(new).is_some() => None,
            (NodeKind::Mapping(entries), Value::Object(members)) => self.members(old, entries, inside, members),
            (NodeKind::Sequence(items), Value::Array(new)) if items.len() == new.len() => {
                let inside = if inside == Parent::Flow { inside } else { Parent::Sequence };
                items.iter().zip(new).try_for_each(|(item, new)| self.change(item, &span, inside, new))
            }
            _ => None,
        };
        if parts.is_none() {
            self.list.truncate(before);
            self.replace(old, parent, new);
        }
        Some(())
    }

    /// Replaces the whole text of `old` by `new`.
    fn replace(&mut self, old: &Node, parent: Parent, new: &Value) {
        let span = old.span();
        let block = matches!(old.kind, NodeKind::Mapping(_) | NodeKind::Sequence(_)) && !flow(self.text, old);
        let line = in_flow(self.text, new);
        let mut start = beginning(self.text, old);
        let text = match parent {
            Parent::Flow => line,
            Parent::Mapping(indent) if !block && line.len() > MAX_LINE_LENGTH && !one_line(new) => {
                start = self.text[..start].trim_end().len();
                let mut text = format!("\n{}", " ".repeat(indent + 2));
                value(new, indent + 2, &mut text);
                text
            }
            Parent::Mapping(_) if !block => line,
            _ => {
                let mut text = String::new();
                value(new, column(self.text, span.start), &mut text);
                text
            }
        };
        self.list.push((start..end(self.text, old), text));
    }

    /// Changes the members of a mapping to those of `new`, one by one. `None` if that is not possible.
    fn members(&mut self, old: &Node, entries: &[(Key, Node)], inside: Parent, new: &Map<String, Value>) -> Option<()> {
        let span = old.span();
        let removed: Vec<_> = entries.iter().filter(|(key, _)| !new.contains_key(&key.name)).collect();
        let added: Vec<_> = new.iter().filter(|(name, _)| old.get(name).is_none()).collect();
        let all_removed = removed.len() == entries.len();
        if all_removed || (inside == Parent::Flow && !(removed.is_empty() && added.is_empty())) {
            return None;
        }
        // Members are added after the last one that remains.
        let kept = entries.iter().filter(|(key, _)| new.contains_key(&key.name));
        let end_of_kept = kept.map(|(key, value)| entry_end(self.text, key, value, &span)).max()?;
        let child = if inside == Parent::Flow { inside } else { Parent::Mapping(column(self.text, span.start)) };
        for (key, value) in entries {
            if !span_inside(&key.span(), &span) {
                return None;
            }
            if let Some(new) = new.get(&key.name) {
                self.change(value, &span, child, new)?;
            }
        }
        for (key, value) in removed {
            let before = &self.text[..key.span().start];
            // Includes the line break before it: an insertion at the same place begins with one.
            let start = before.rfind('\n').filter(|at| before[*at..].trim().is_empty())?;
            let start = if before[..start].ends_with('\r') { start - 1 } else { start };
            let end = line_end(self.text, entry_end(self.text, key, value, &span));
            self.list.push((start..end, String::new()));
        }
        if !added.is_empty() {
            let at = line_end(self.text, end_of_kept);
            let mut text = String::new();
            added.into_iter().for_each(|(name, value)| member(name, value, column(self.text, span.start), &mut text));
            self.list.push((at..at, text));
        }
        Some(())
    }

    fn apply(mut self) -> Option<String> {
        self.list.sort_by_key(|(range, _)| (range.start, range.end));
        let (mut result, mut at) = (String::new(), 0);
        for (range, new) in &self.list {
            result.push_str(self.text.get(at..range.start)?);
            if self.text.contains("\r\n") {
                result.push_str(&new.replace('\n', "\r\n"))
            } else {
                result.push_str(new)
            }
            at = range.end;
        }
        result.push_str(self.text.get(at..)?);
        Some(result)
    }
}

fn span_inside(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    inner.start >= outer.start && inner.end <= outer.end
}

/// Whether `node` is a flow collection: in brackets, as in JSON.
fn flow(text: &str, node: &Node) -> bool {
    let collection = matches!(node.kind, NodeKind::Mapping(_) | NodeKind::Sequence(_));
    collection && text[node.span().start..].starts_with(['{', '['])
}

/// Whether the whole text is JSON rather than YAML.
fn json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// The text of `new` inside of a flow collection of `text`.
fn in_flow(text: &str, new: &Value) -> String {
    if json(text) { new.to_string() } else { inline(new) }
}

/// The column of `at`, which is the indentation of a node that begins its line or follows `- `.
fn column(text: &str, at: usize) -> usize {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..at].chars().count()
}

/// The end of the line of `at`.
fn line_end(text: &str, at: usize) -> usize {
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    if text[..end].ends_with('\r') && end > at { end - 1 } else { end }
}

/// The start of the text of `node`; of a block scalar, including its `|` or `>`, which the parser excludes.
fn beginning(text: &str, node: &Node) -> usize {
    let start = node.span().start;
    if !matches!(node.kind, NodeKind::String { style: StringStyle::Block, .. }) {
        return start;
    }
    let before = text[..start].trim_end();
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    before[line..].rfind(['|', '>']).map_or(start, |at| line + at)
}

/// The end of the text of `node`, without the comments and blank lines that follow it.
fn end(text: &str, node: &Node) -> usize {
    let span = node.span();
    match &node.kind {
        _ if flow(text, node) => span.end,
        NodeKind::Mapping(entries) => {
            entries.iter().map(|(key, value)| entry_end(text, key, value, &span)).max().unwrap_or(span.end)
        }
        NodeKind::Sequence(items) => {
            items.last().filter(|item| span_inside(&item.span(), &span)).map_or(span.end, |i| end(text, i))
        }
        _ => span.end,
    }
}

/// The end of the text of a key and its value.
fn entry_end(text: &str, key: &Key, value: &Node, outer: &Range<usize>) -> usize {
    let (key, span) = (key.span(), value.span());
    if !span_inside(&key, outer) {
        // A merge key (`<<`) has added it to the mapping.
        return outer.start;
    }
    let written = span_inside(&span, outer) && span.start >= key.end && !value.is_null();
    // Only an alias, or nothing, follows the key on its line.
    if written { end(text, value) } else { line_end(text, key.end) }
}

/// Appends a line break, and a key with its value in block style.
fn member(name: &str, new: &Value, indent: usize, out: &mut String) {
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    entry(name, new, indent, out);
}

fn entry(name: &str, new: &Value, indent: usize, out: &mut String) {
    out.push_str(&scalar(name));
    out.push(':');
    if one_line(new) {
        out.push(' ');
        out.push_str(&inline(new));
    } else {
        out.push('\n');
        out.push_str(&" ".repeat(indent + 2));
        value(new, indent + 2, out);
    }
}

/// Appends a value in block style; its first line continues the last line of `out`.
fn value(new: &Value, indent: usize, out: &mut String) {
    let next = |out: &mut String, at: usize| {
        if at > 0 {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
        }
    };
    match new {
        _ if one_line(new) => out.push_str(&inline(new)),
        Value::Object(members) => {
            for (at, (name, new)) in members.iter().enumerate() {
                next(out, at);
                entry(name, new, indent, out);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                next(out, at);
                out.push_str("- ");
                value(item, indent + 2, out);
            }
        }
        _ => out.push_str(&inline(new)),
    }
}

/// Whether a value is written on one line: a scalar, a matcher of a scalar, an empty collection, or a short list of scalars.
fn one_line(new: &Value) -> bool {
    let plain = |value: &Value| !matches!(value, Value::Object(_) | Value::Array(_));
    match new {
        Value::Object(members) => members.is_empty() || (Matcher::of(new).is_some() && members.values().all(plain)),
        Value::Array(items) => items.iter().all(plain) && inline(new).len() <= MAX_LINE_LENGTH,
        _ => true,
    }
}

/// A value in flow style, on one line.
fn inline(new: &Value) -> String {
    match new {
        Value::String(text) => scalar(text),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{}: {}", scalar(name), inline(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        _ => new.to_string(),
    }
}

/// A string in YAML: plain if that is unambiguous, else in double quotes.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let inner = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let rest = text.strip_prefix('$').unwrap_or(text);
    let bare = rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && rest.chars().all(inner)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if bare {
        return text.to_owned();
    }
    let quoted = Value::from(text).to_string();
    let odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    quoted.chars().map(|c| if odd(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect()
}

/// Replaces the contents of the file at `path` by `text`, atomically.
///
/// # Errors
/// The directory or the file cannot be written.
pub(super) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // Replaces the file that `path` links to, not the link.
    let path = path.canonicalize()?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = std::fs::File::create(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.set_permissions(std::fs::metadata(&path)?.permissions())?;
        file.sync_all()
    });
    let replaced = written.and_then(|()| std::fs::rename(&new, &path));
    if replaced.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    replaced
}
