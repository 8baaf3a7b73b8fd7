//! The message as a tree, which stays text wherever no edit has reached.

use std::cell::Cell;

use super::deferred::{self, DeferredEdit};
use super::edit::{EditError, MAX_DEPTH, Mode};
use super::key_path::{KeyPath, Name, Part};
use super::placeholder::{Placeholder, Placeholders};
use super::style::Style;
use crate::runtime::work;
use crate::transaction::{CONTEXT, Span, Transaction, View, split_array, split_object, text};

/// The initial capacity of a message: Kong's members and some edits.
const USUAL_MEMBERS: usize = 32;

/// The length up to which an array may have any number of holes (cjson's default).
const DENSE: usize = 10;

/// A piece of JSON text: a span of the transaction, or owned text.
#[derive(Debug, Clone)]
pub(super) enum Slice {
    Span(Span),
    Owned(Box<[u8]>),
}

impl Slice {
    pub(super) fn of<'a>(&'a self, transaction: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Span(span) => span.of(transaction),
            Self::Owned(text) => text,
        }
    }

    /// The part `span` of this slice.
    fn part(&self, span: Span) -> Self {
        match self {
            Self::Span(whole) => Self::Span(Span { start: whole.start + span.start, end: whole.start + span.end }),
            Self::Owned(text) => Self::Owned(span.of(text).into()),
        }
    }
}

/// The members of an object of the message.
pub(super) type Members = Vec<(Slice, Node)>;

/// A value of the message. A member's name is the content of its JSON string.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Raw(Slice),
    /// Text of a body's object or array. Its arrays carry cjson's array mark in Kong, so an empty one is `[]`.
    Marked(Box<[u8]>),
    Object(Members),
    /// The flag tells whether it is part of the transaction: in Kong those arrays carry the array mark, and members with a
    /// name are never written.
    Array(Vec<Node>, bool),
}

/// One transaction's message, to which the edits of all plugins are applied in order.
///
/// Kong builds a new message for each plugin and applies all edits so far. As each edit depends only on those before it,
/// applying each once to a shared message gives the same result.
#[derive(Debug, Clone)]
pub struct Message {
    pub(super) transaction: Transaction,
    pub(super) root: Members,
    pub(super) placeholders: Placeholders,
    /// Edits of members that may be added later, and their bytes.
    deferred: Vec<DeferredEdit>,
    deferred_bytes: usize,
    /// Bytes that edits have added, less those that edits have removed; approximately.
    added_bytes: usize,
    pub(super) style: Style,
    /// The number of edits, which tells whether an encoding is still valid.
    version: u64,
    /// Whether the last edit changed anything.
    last_changed: bool,
}

impl Message {
    /// The message of `transaction` before any edit, without `_context` and with credentials redacted.
    pub fn new(transaction: Transaction, style: Style) -> Self {
        let bytes = transaction.bytes().as_ref();
        let escaped = transaction.traits().escaped_names;
        let is_context =
            |key: &[u8]| key == CONTEXT.as_bytes() || (escaped && text::unescape(key) == CONTEXT.as_bytes());
        let mut root = Vec::with_capacity(USUAL_MEMBERS);
        root.extend(
            transaction
                .root()
                .filter(|(key, _)| !is_context(key.of(bytes)))
                .map(|(key, value)| (Slice::Span(key), Node::Raw(Slice::Span(value)))),
        );
        let placeholders = Placeholders::find(&transaction, style);
        let mut message = Self {
            transaction,
            root,
            placeholders,
            deferred: Vec::new(),
            deferred_bytes: 0,
            added_bytes: 0,
            style,
            version: 0,
            last_changed: false,
        };
        if message.transaction.traits().repeated_headers {
            message.leave_out_forgotten_headers();
        }
        message
    }

    /// Opens a request with two `headers`: the first is not indexed, but is part of the request's text.
    #[cold]
    fn leave_out_forgotten_headers(&mut self) {
        let bytes = self.transaction.bytes();
        for (key, node) in &mut self.root {
            if *text::unescape(key.of(bytes)) == *b"request" {
                node.open(bytes, &self.placeholders);
            }
        }
    }

    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// The style in which it is written.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Changes with every edit.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether the last edit changed anything: its mode may have kept it from that.
    pub(crate) fn changed_by_last_edit(&self) -> bool {
        self.last_changed
    }

    /// The placeholders for parts of the transaction.
    pub(super) fn placeholders(&self) -> &Placeholders {
        &self.placeholders
    }

    /// Adds the member `name`, one of [`deferred::NAMES`], as if it had been there before any edit: its edits are applied
    /// again and take precedence. A member of this name in the transaction itself stays unchanged.
    pub(super) fn add_deferred(&mut self, name: &str, node: Node) {
        if self.transaction().get(name).is_some() {
            return;
        }
        let bytes = self.transaction().bytes().clone();
        let wanted = Name::new(name, self.style().escaping);
        let at = position(&self.root, &wanted, &bytes).unwrap_or_else(|| {
            self.root.push((Slice::Owned(wanted.encoded.clone()), Node::null()));
            self.root.len() - 1
        });
        let edited = std::mem::replace(&mut self.root[at].1, node);
        let (edits, edits_bytes) = (std::mem::take(&mut self.deferred), std::mem::take(&mut self.deferred_bytes));
        let matching =
            edits.iter().filter(|edit| deferred::first(&edit.path).is_some_and(|name| name.plain == wanted.plain));
        for edit in matching {
            // An edit that led through a table may not do so through the body. Then the edited member stays.
            if self.edit(&edit.path, edit.value.clone(), edit.mode).is_err() {
                if let Some(at) = position(&self.root, &wanted, &bytes) {
                    self.root[at].1 = edited;
                }
                break;
            }
        }
        (self.deferred, self.deferred_bytes) = (edits, edits_bytes);
    }

    /// Bytes that edits have added, less those that edits have removed; approximately.
    pub(crate) fn added_bytes(&self) -> usize {
        self.added_bytes
    }

    /// The state of the edits, for [`Self::undo`].
    pub fn snapshot(&self) -> Snapshot {
        work(self.root.len());
        Snapshot {
            root: self.root.clone(),
            deferred: self.deferred.len(),
            deferred_bytes: self.deferred_bytes,
            added_bytes: self.added_bytes,
        }
    }

    /// Takes back all edits since `snapshot`.
    pub fn undo(&mut self, snapshot: Snapshot) {
        self.root = snapshot.root;
        self.deferred.truncate(snapshot.deferred);
        (self.deferred_bytes, self.added_bytes) = (snapshot.deferred_bytes, snapshot.added_bytes);
        self.version += 1;
    }

    /// Applies one edit: `value` is JSON text, or `None` to remove.
    ///
    /// # Errors
    /// See [`EditError`]; the message is unchanged.
    pub fn edit(&mut self, path: &KeyPath, value: Option<Vec<u8>>, mode: Mode) -> Result<(), EditError> {
        if path.parts().len() + value.as_deref().map_or(0, depth) > MAX_DEPTH {
            return Err(EditError::TooDeep { key: path.text().chars().take(100).collect() });
        }
        let deferred = DeferredEdit::of(path, value.as_ref(), mode);
        let deferred_bytes = self.deferred_bytes + deferred.as_ref().map_or(0, DeferredEdit::bytes);
        if deferred.is_some() && (self.deferred.len() == deferred::MAX_EDITS || deferred_bytes > deferred::MAX_BYTES) {
            return Err(EditError::TooManyOfBodies);
        }
        let Self { transaction, root, placeholders, style, version, .. } = self;
        let (bytes, removes) = (transaction.bytes().as_ref(), value.is_none());
        let walk = Walk {
            bytes,
            placeholders,
            path,
            mode,
            removes,
            style: *style,
            added: Cell::new(0),
            changed: Cell::new(false),
        };
        walk.check(root)?;
        *version += 1;
        walk.go(root, value)?;
        self.last_changed = walk.changed.get();
        self.added_bytes = self.added_bytes.saturating_add_signed(walk.added.get());
        self.deferred.extend(deferred);
        self.deferred_bytes = deferred_bytes;
        Ok(())
    }
}

/// The state of the edits of a message.
#[derive(Debug)]
pub struct Snapshot {
    root: Members,
    deferred: usize,
    deferred_bytes: usize,
    added_bytes: usize,
}

/// Bytes of a member or an element in addition to its texts, approximately.
const OVERHEAD: usize = 64;

/// Bytes that a name takes which an edit has added; one of the transaction takes none.
fn name_bytes(name: &Slice) -> usize {
    match name {
        Slice::Span(_) => 0,
        Slice::Owned(text) => text.len() + OVERHEAD,
    }
}

/// Levels of nesting of a JSON value; 0 for a scalar.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                at += 1;
                while json.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    deepest
}

pub(super) fn position(members: &[(Slice, Node)], name: &Name, bytes: &[u8]) -> Option<usize> {
    work(members.len());
    members.iter().position(|(key, _)| is_named(key.of(bytes), name))
}

fn is_named(key: &[u8], name: &Name) -> bool {
    // A name with escapes is longer than its plain form, and has the same first byte unless that is escaped.
    let may = key.len() > name.plain.len() && (key[0] == b'\\' || name.plain.first() == Some(&key[0]));
    key == &*name.encoded || (may && *text::unescape(key) == *name.plain)
}

impl Node {
    /// Splits the text of an object or an array, one level deep.
    pub(super) fn open(&mut self, bytes: &[u8], placeholders: &Placeholders) {
        if let Self::Marked(text) = self {
            *self = Self::opened(text);
            return;
        }
        let Self::Raw(slice) = self else { return };
        if let Slice::Span(span) = slice
            && placeholders.over(*span) == Some(Placeholder::EmptyArray)
        {
            *self = Self::Array(Vec::new(), false);
            return;
        }
        let raw = slice.of(bytes);
        work(raw.len());
        let opened = match raw.first() {
            Some(b'{') => Self::Object(
                split_object(raw)
                    .into_iter()
                    .map(|(key, value)| (slice.part(key), Self::Raw(slice.part(value))))
                    .collect(),
            ),
            Some(b'[') => {
                let elements = split_array(raw).into_iter().map(|span| Self::Raw(slice.part(span))).collect();
                Self::Array(elements, matches!(slice, Slice::Span(_)))
            }
            _ => return,
        };
        *self = opened;
    }

    /// Splits marked text one level deep.
    fn opened(raw: &[u8]) -> Self {
        work(raw.len());
        let owned = |span: Span| Slice::Owned(span.of(raw).into());
        let value = |span: Span| match span.of(raw) {
            text @ [b'{' | b'[', ..] => Self::Marked(text.into()),
            _ => Self::Raw(owned(span)),
        };
        match raw.first() {
            Some(b'[') => Self::Array(split_array(raw).into_iter().map(value).collect(), true),
            _ => Self::Object(split_object(raw).into_iter().map(|(key, span)| (owned(key), value(span))).collect()),
        }
    }

    pub(super) fn null() -> Self {
        Self::Raw(Slice::Owned((*b"null").into()))
    }

    /// Bytes that it takes in addition to the transaction.
    fn own_bytes(&self) -> usize {
        match self {
            Self::Raw(Slice::Span(_)) => 0,
            Self::Raw(Slice::Owned(text)) | Self::Marked(text) => text.len(),
            Self::Object(members) => members.iter().map(|(name, node)| name_bytes(name) + node.own_bytes()).sum(),
            Self::Array(elements, _) => elements.iter().map(Self::own_bytes).sum(),
        }
    }

    fn is_null(&self, bytes: &[u8]) -> bool {
        matches!(self, Self::Raw(slice) if slice.of(bytes) == b"null")
    }

    fn is_table(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Raw(slice) => matches!(slice.of(bytes).first(), Some(b'{' | b'[')),
            _ => true,
        }
    }
}

/// One edit and its way down the tree.
struct Walk<'a> {
    bytes: &'a [u8],
    placeholders: &'a Placeholders,
    path: &'a KeyPath,
    mode: Mode,
    removes: bool,
    style: Style,
    /// Bytes that the edit adds, or removes if negative.
    added: Cell<isize>,
    /// Whether the edit changed anything.
    changed: Cell<bool>,
}

impl Walk<'_> {
    fn count_added(&self, bytes: usize) {
        self.changed.set(true);
        self.added.set(self.added.get().saturating_add_unsigned(bytes));
    }

    fn count_removed(&self, bytes: usize) {
        self.changed.set(true);
        self.added.set(self.added.get().saturating_sub_unsigned(bytes));
    }

    /// A new member's name.
    fn new_name(&self, name: &Name) -> Slice {
        let name = Slice::Owned(name.encoded.clone());
        self.count_added(name_bytes(&name));
        name
    }

    /// Applies the edit after [`Self::check`] has succeeded.
    fn go(&self, members: &mut Members, value: Option<Vec<u8>>) -> Result<(), EditError> {
        // The only error that `check` cannot find.
        let sparse = |part: &Part| matches!(part, Part::Index(index) if *index > DENSE);
        let before = self.path.parts().iter().any(sparse).then(|| members.clone());
        let mut root = Node::Object(std::mem::take(members));
        let value = value.map(|text| Node::Raw(Slice::Owned(text.into())));
        let done = self.apply(&mut root, self.path.parts(), value);
        let Node::Object(after) = root else { unreachable!("the outermost value stays an object") };
        *members = match before {
            Some(before) if done.is_err() => before,
            _ => after,
        };
        done
    }

    /// Checks whether the edit can be applied, before anything is changed. Opens the containers on the path.
    fn check(&self, root: &mut [(Slice, Node)]) -> Result<(), EditError> {
        let parts = self.path.parts();
        let (Part::Name(first), true) = (&parts[0], parts.len() > 1) else { return Ok(()) };
        let Some(at) = position(root, first, self.bytes) else { return Ok(()) };
        let mut node = &mut root[at].1;
        for (part, below) in parts.iter().zip(&parts[1..]) {
            if !node.is_table(self.bytes) {
                let key = self.path.text().to_owned();
                return Err(EditError::NotATable { key, subkey: part.shown(), found: self.shown(node) });
            }
            node.open(self.bytes, self.placeholders);
            let child = match (node, below) {
                (Node::Object(members), Part::Name(name)) => {
                    position(members, name, self.bytes).map(|at| &mut members[at].1)
                }
                (Node::Array(elements, _), Part::Index(index)) => elements.get_mut(index - 1),
                _ => None,
            };
            match child {
                Some(child) => node = child,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// A scalar as Lua's `tostring` shows it.
    fn shown(&self, node: &Node) -> String {
        let Node::Raw(slice) = node else { return "a table".to_owned() };
        if let Slice::Span(span) = slice
            && self.placeholders.over(*span) == Some(Placeholder::Credential)
        {
            return "REDACTED".to_owned();
        }
        let view = View::new(slice.of(self.bytes));
        match view.text() {
            Some(text) => text.into_owned(),
            None if view.is_null() => "userdata: NULL".to_owned(),
            None => String::from_utf8_lossy(view.raw()).into_owned(),
        }
    }

    fn apply(&self, node: &mut Node, parts: &[Part], value: Option<Node>) -> Result<(), EditError> {
        node.open(self.bytes, self.placeholders);
        let (part, rest) = parts.split_first().expect("a key path has at least one part");
        match (&mut *node, part) {
            (Node::Object(members), Part::Name(name)) => self.member(members, name, rest, value),
            (Node::Object(members), Part::Index(index)) if !members.is_empty() => {
                self.member(members, &Name::new(&index.to_string(), self.style.escaping), rest, value)
            }
            (Node::Object(_), Part::Index(index)) => self.indexed(node, *index, rest, value),
            (Node::Array(elements, _), Part::Index(index)) => self.element(elements, *index, rest, value),
            (Node::Array(_, marked), Part::Name(name)) => match *marked && !self.is_of_nginx() {
                true => Ok(()),
                false => self.named(node, name, rest, value),
            },
            (Node::Raw(_) | Node::Marked(_), _) => Ok(()),
        }
    }

    /// Whether the edit is below headers or arguments, whose arrays are nginx's and carry no mark.
    fn is_of_nginx(&self) -> bool {
        let names: Vec<_> = self.path.parts().iter().take(2).map(Part::shown).collect();
        matches!(&names[..], [of, part] if (of == "request" || of == "response") && (part == "headers" || part == "querystring"))
    }

    // Rare cases are separate functions to keep the stack frame of `apply` small: it recurses once per level of a path.

    /// Adds an element to an empty object, which becomes an array.
    fn indexed(&self, node: &mut Node, index: usize, rest: &[Part], value: Option<Node>) -> Result<(), EditError> {
        let mut elements = Vec::new();
        self.element(&mut elements, index, rest, value)?;
        if !elements.is_empty() {
            *node = Node::Array(elements, false);
        }
        Ok(())
    }

    /// Adds a member to an array, which becomes an object with its indices as names.
    fn named(&self, node: &mut Node, name: &Name, rest: &[Part], value: Option<Node>) -> Result<(), EditError> {
        let Node::Array(elements, _) = node else { return Ok(()) };
        let number = |at: usize| Slice::Owned((at + 1).to_string().into_bytes().into());
        let mut members: Vec<_> =
            std::mem::take(elements).into_iter().enumerate().map(|(at, node)| (number(at), node)).collect();
        self.count_added(members.iter().map(|(name, _)| name_bytes(name)).sum());
        let done = self.member(&mut members, name, rest, value);
        // An array that the edit leaves empty stays an array.
        *node = if members.is_empty() { Node::Array(Vec::new(), false) } else { Node::Object(members) };
        done
    }

    fn member(&self, members: &mut Members, name: &Name, rest: &[Part], value: Option<Node>) -> Result<(), EditError> {
        let found = position(members, name, self.bytes);
        if !rest.is_empty() {
            return match (found, self.creates()) {
                (Some(at), _) => self.apply(&mut members[at].1, rest, value),
                (None, false) => Ok(()),
                (None, true) => {
                    let mut node = Node::Object(Vec::new());
                    let done = self.apply(&mut node, rest, value);
                    members.push((self.new_name(name), node));
                    done
                }
            };
        }
        let present = found.is_some() || (self.mode == Mode::Add && self.has_header(members, name));
        match (value, found) {
            _ if self.blocked(present) => {}
            (None, Some(at)) => {
                let (name, node) = members.remove(at);
                self.count_removed(name_bytes(&name) + node.own_bytes());
            }
            (None, None) => {}
            (Some(value), Some(at)) => self.replace(&mut members[at].1, value),
            (Some(value), None) => {
                self.count_added(value.own_bytes());
                members.push((self.new_name(name), value));
            }
        }
        Ok(())
    }

    fn replace(&self, node: &mut Node, value: Node) {
        self.count_added(value.own_bytes());
        self.count_removed(node.own_bytes());
        *node = value;
    }

    fn element(
        &self,
        elements: &mut Vec<Node>,
        index: usize,
        rest: &[Part],
        value: Option<Node>,
    ) -> Result<(), EditError> {
        let present = elements.get(index - 1).is_some();
        if !present && (!self.creates() || (rest.is_empty() && self.blocked(false)) || value.is_none()) {
            return Ok(());
        }
        // Holes do not count; otherwise each of a few edits could double the array.
        let filled = || elements.iter().filter(|element| !element.is_null(self.bytes)).count();
        if index > DENSE && index > elements.len() && index > 2 * (filled() + 1) {
            return Err(EditError::Sparse { key: self.path.text().to_owned() });
        }
        while elements.len() < index {
            self.count_added(OVERHEAD + Node::null().own_bytes());
            elements.push(Node::null());
        }
        let last = index == elements.len();
        let slot = &mut elements[index - 1];
        if !rest.is_empty() {
            if !present {
                *slot = Node::Object(Vec::new());
            }
            return self.apply(slot, rest, value);
        }
        match value {
            _ if self.blocked(present) => {}
            Some(value) => self.replace(slot, value),
            None if last => {
                let node = elements.pop();
                self.count_removed(OVERHEAD + node.as_ref().map_or(0, Node::own_bytes));
            }
            None => self.replace(slot, Node::null()),
        }
        Ok(())
    }

    /// Whether missing parents are created. Only Kong creates them for nil as well.
    fn creates(&self) -> bool {
        self.mode != Mode::Replace && (!self.removes || self.style.empty_parents)
    }

    fn blocked(&self, present: bool) -> bool {
        match self.mode {
            Mode::Set => false,
            Mode::Add => present,
            Mode::Replace => !present,
        }
    }

    /// Kong's header tables find names in any case and with `_` for `-`, which applies to `add`.
    fn has_header(&self, members: &[(Slice, Node)], name: &Name) -> bool {
        let parent: Vec<_> = self.path.parts().iter().map(Part::shown).collect();
        if !matches!(&parent[..], [of, headers, _] if headers == "headers" && (of == "request" || of == "response")) {
            return false;
        }
        let folded = |name: &[u8]| {
            name.to_ascii_lowercase().iter().map(|&b| if b == b'_' { b'-' } else { b }).collect::<Vec<_>>()
        };
        let wanted = folded(&name.plain);
        members.iter().any(|(key, _)| folded(&text::unescape(key.of(self.bytes))) == wanted)
    }
}
