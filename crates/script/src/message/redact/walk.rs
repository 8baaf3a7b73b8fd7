//! Applies one rule to a message. Only containers that it may affect are opened.

use regex::Regex;

use super::action::{Action, Edited};
use super::{cookie, query};
use crate::message::encode::Encoder;
use crate::message::key_path::Part;
use crate::message::placeholder::Placeholder;
use crate::message::tree::{Members, Node, Slice};
use crate::transaction::text;

/// A rule's action, and the means to read and write the message.
pub(super) struct Walk<'a> {
    pub(super) encoder: &'a Encoder<'a>,
    pub(super) action: &'a Action,
}

/// Whether a member or element is kept.
type Stays = bool;

impl Walk<'_> {
    /// Redacts the headers called `name`, in any case, of request and response.
    pub(super) fn header(&self, root: &mut Members, name: &str) {
        for of in ["request", "response"] {
            self.headers(root, of, |headers| {
                self.retain(headers, |key| key.eq_ignore_ascii_case(name.as_bytes()), |node| self.header_value(node));
            });
        }
    }

    /// Redacts the query arguments called `name`, in the query string and in URLs.
    pub(super) fn query(&self, root: &mut Members, name: &str) {
        let name = name.as_bytes();
        self.urls(root, "upstream_uri", name);
        self.below(root, "request", |request| {
            self.urls(request, "url", name);
            self.urls(request, "uri", name);
            self.retain(
                request,
                |key| key == b"querystring",
                |node| self.edit(node, |text| query::in_text(text, name, self.action)),
            );
            self.below(request, "querystring", |arguments| {
                self.retain(arguments, |key| key == name, |node| self.each(node, |one| self.argument(one)));
            });
        });
        self.headers(root, "request", |headers| self.urls(headers, "referer", name));
        self.headers(root, "response", |headers| self.urls(headers, "location", name));
    }

    /// Redacts the cookies called `name` that were sent or set.
    pub(super) fn cookie(&self, root: &mut Members, name: &str) {
        let name = name.as_bytes();
        let sent = |text: &[u8]| cookie::in_cookie(text, name, self.action);
        let set = |text: &[u8]| cookie::in_set_cookie(text, name, self.action);
        self.headers(root, "request", |headers| self.texts(headers, "cookie", sent));
        self.headers(root, "response", |headers| self.texts(headers, "set-cookie", set));
    }

    /// Redacts the value at the key path `parts`.
    pub(super) fn key(&self, members: &mut Members, parts: &[Part]) {
        let Some((part, below)) = parts.split_first() else { return };
        self.retain(members, |key| is_at(part, key), |node| self.at(node, below));
    }

    fn at(&self, node: &mut Node, parts: &[Part]) -> Stays {
        let Some((part, below)) = parts.split_first() else { return self.replace(node) };
        self.open(node);
        match node {
            Node::Object(members) => self.key(members, parts),
            Node::Array(elements, _) => {
                let mut index = 0;
                elements.retain_mut(|element| {
                    index += 1;
                    let meant = match part {
                        Part::Index(wanted) => *wanted == index,
                        Part::Name(name) => *name.plain == *b"*",
                    };
                    !meant || self.at(element, below)
                });
            }
            Node::Raw(_) | Node::Marked(_) => {}
        }
        true
    }

    /// Redacts the matches of `regex` in string values, at any depth.
    pub(super) fn pattern(&self, members: &mut Members, regex: &Regex) {
        for (_, node) in members {
            self.pattern_in(node, regex);
        }
    }

    fn pattern_in(&self, node: &mut Node, regex: &Regex) {
        match node {
            Node::Raw(slice) => {
                if let Some(new) = self.rewritten(&self.encoder.text(slice), regex) {
                    *slice = Slice::Owned(new.into());
                }
            }
            Node::Marked(text) => {
                if let Some(new) = self.rewritten(text, regex) {
                    *text = new.into();
                }
            }
            Node::Object(members) => self.pattern(members, regex),
            Node::Array(elements, _) => elements.iter_mut().for_each(|element| self.pattern_in(element, regex)),
        }
    }

    /// JSON text with the matches in its string values replaced; `None` without a match.
    fn rewritten(&self, json: &[u8], regex: &Regex) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut done = 0;
        let mut at = 0;
        while let Some(quote) = memchr::memchr(b'"', &json[at..]) {
            let start = at + quote;
            at = start + text::string_length(&json[start..]);
            let is_name = json[at..].trim_ascii_start().first() == Some(&b':');
            if is_name {
                continue;
            }
            let string = text::unescape(&json[start + 1..at - 1]);
            if let Some(new) = self.without_matches(&string, regex) {
                out.extend_from_slice(&json[done..start]);
                text::push_string(&mut out, &new, self.encoder.style.escaping);
                done = at;
            }
        }
        if done == 0 {
            return None;
        }
        out.extend_from_slice(&json[done..]);
        Some(out)
    }

    /// The string with the matches replaced; `None` without a match. Bytes that are not UTF-8 are replaced when the
    /// string is written, so the pattern sees their replacement.
    fn without_matches(&self, string: &[u8], regex: &Regex) -> Option<Vec<u8>> {
        let string = String::from_utf8_lossy(string);
        let mut out = Vec::new();
        let mut from = 0;
        // An empty match hides nothing.
        for found in regex.find_iter(&string).filter(|found| !found.is_empty()) {
            out.extend_from_slice(string[from..found.start()].as_bytes());
            out.extend_from_slice(self.action.text(found.as_str().as_bytes()).as_bytes());
            from = found.end();
        }
        if from == 0 {
            return None;
        }
        out.extend_from_slice(string[from..].as_bytes());
        Some(out)
    }

    fn urls(&self, members: &mut Members, header: &str, name: &[u8]) {
        self.texts(members, header, |text| query::in_url(text, name, self.action));
    }

    /// Edits the strings of the members called `name`, in any case: one, or a list of them.
    fn texts(&self, members: &mut Members, name: &str, edit: impl Fn(&[u8]) -> Edited) {
        let is = |key: &[u8]| key.eq_ignore_ascii_case(name.as_bytes());
        self.retain(members, is, |node| self.each(node, |one| self.edit(one, &edit)));
    }

    /// Edits a string. Other values stay unchanged.
    fn edit(&self, node: &mut Node, edit: impl Fn(&[u8]) -> Edited) -> Stays {
        let Node::Raw(slice) = &*node else { return true };
        let json = self.encoder.text(slice);
        let [b'"', content @ .., b'"'] = &*json else { return true };
        let edited = edit(&text::unescape(content));
        match edited {
            Edited::Same => true,
            Edited::Now(new) => {
                let new = self.string(&new);
                *node = new;
                true
            }
            Edited::Gone => false,
        }
    }

    /// Redacts the value of a query argument. A flag is `true` and has nothing to hide.
    fn argument(&self, node: &mut Node) -> Stays {
        let is_flag = matches!(&*node, Node::Raw(slice) if slice.of(self.encoder.bytes) == b"true");
        if is_flag { !self.action.removes() } else { self.replace(node) }
    }

    /// Redacts a header's value, or each element of a list.
    fn header_value(&self, node: &mut Node) -> Stays {
        !self.action.removes() && self.each(node, |one| self.replace(one))
    }

    /// Replaces a value of any type.
    fn replace(&self, node: &mut Node) -> Stays {
        if self.action.removes() {
            return false;
        }
        *node = self.string(self.action.text(&self.plain(node)).as_bytes());
        true
    }

    /// The input of a hash: a string's text, or the JSON of another value. For a credential it is the original text, not the
    /// placeholder.
    fn plain(&self, node: &Node) -> Vec<u8> {
        let mut json = Vec::new();
        match node {
            Node::Raw(Slice::Span(span)) if self.encoder.placeholders.over(*span) == Some(Placeholder::Credential) => {
                json.extend_from_slice(span.of(self.encoder.bytes));
            }
            node => self.encoder.value(&mut json, b"", node),
        }
        match &json[..] {
            [b'"', content @ .., b'"'] => text::unescape(content).into_owned(),
            json => text::compact(json),
        }
    }

    fn string(&self, plain: &[u8]) -> Node {
        let mut json = Vec::with_capacity(plain.len() + 2);
        text::push_string(&mut json, plain, self.encoder.style.escaping);
        Node::Raw(Slice::Owned(json.into()))
    }

    fn open(&self, node: &mut Node) {
        node.open(self.encoder.bytes, self.encoder.placeholders);
    }

    fn headers(&self, root: &mut Members, of: &str, look: impl Fn(&mut Members)) {
        self.below(root, of, |inner| self.below(inner, "headers", &look));
    }

    /// Opens the objects called `name` and calls `look` on each.
    fn below(&self, members: &mut Members, name: &str, look: impl Fn(&mut Members)) {
        for (key, node) in members {
            if *text::unescape(key.of(self.encoder.bytes)) == *name.as_bytes() {
                self.open(node);
                if let Node::Object(inner) = node {
                    look(inner);
                }
            }
        }
    }

    /// Calls `look` on the selected members and removes those that it does not keep.
    fn retain(&self, members: &mut Members, meant: impl Fn(&[u8]) -> bool, look: impl Fn(&mut Node) -> Stays) {
        members.retain_mut(|(key, node)| !meant(&text::unescape(key.of(self.encoder.bytes))) || look(node));
    }

    /// Calls `look` on each element of a list, or on the only value. A list that becomes empty is removed.
    fn each(&self, node: &mut Node, look: impl Fn(&mut Node) -> Stays) -> Stays {
        self.open(node);
        match node {
            Node::Array(elements, _) if !elements.is_empty() => {
                elements.retain_mut(look);
                !elements.is_empty()
            }
            Node::Array(..) => true,
            node => look(node),
        }
    }
}

/// Whether a part of a key path selects a member's name. `*` selects any name.
fn is_at(part: &Part, name: &[u8]) -> bool {
    match part {
        Part::Name(wanted) => *wanted.plain == *name || *wanted.plain == *b"*",
        Part::Index(index) => index.to_string().as_bytes() == name,
    }
}
