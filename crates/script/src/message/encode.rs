//! Writing a message as one line of JSON.

use std::borrow::Cow;

use super::placeholder::Placeholders;
use super::style::Style;
use super::tree::{Members, Message, Node, Slice};
use crate::transaction::{Span, text};

/// Members whose arrays carry cjson's array mark in Kong and are therefore `[]` when empty.
const MARKED_ARRAYS: [&[u8]; 11] = [
    b"paths",
    b"tries",
    b"unnamed",
    // The other arrays and sets in Kong's schema of routes, services and consumers.
    b"ca_certificates",
    b"destinations",
    b"hosts",
    b"methods",
    b"protocols",
    b"snis",
    b"sources",
    b"tags",
];

impl Message {
    /// Appends the message, without a newline.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let bytes = self.transaction().bytes();
        let encoder = Encoder { bytes, placeholders: self.placeholders(), style: self.style() };
        encoder.object(out, &self.root);
    }

    /// The encoder of the message, and the members to encode.
    pub(super) fn split(&mut self) -> (Encoder<'_>, &mut Members) {
        let bytes = self.transaction.bytes();
        (Encoder { bytes, placeholders: &self.placeholders, style: self.style }, &mut self.root)
    }

    /// The message in a new buffer.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.transaction().bytes().len() + 128);
        self.encode(&mut out);
        out
    }
}

/// Encodes values of one message.
pub(super) struct Encoder<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) placeholders: &'a Placeholders,
    pub(super) style: Style,
}

impl Encoder<'_> {
    fn object(&self, out: &mut Vec<u8>, members: &[(Slice, Node)]) {
        out.push(b'{');
        let mut run: Option<Span> = None;
        let mut first = true;
        for (name, value) in members {
            let whole = self.verbatim(name, value);
            if let (Some(run), Some(member)) = (&mut run, whole)
                && run.end + 1 == member.start
            {
                run.end = member.end;
                continue;
            }
            if let Some(run) = run.take() {
                self.copy(out, run);
            }
            if !first {
                out.push(b',');
            }
            first = false;
            match whole {
                Some(member) => run = Some(member),
                None => self.member(out, name, value),
            }
        }
        if let Some(run) = run {
            self.copy(out, run);
        }
        out.push(b'}');
    }

    /// The span of a member in the transaction, including its name's quote, if it is unedited and contains no space between
    /// name and value. Two spans one byte apart are separated by a comma and can be copied together.
    fn verbatim(&self, name: &Slice, value: &Node) -> Option<Span> {
        match (name, value) {
            (Slice::Span(name), Node::Raw(Slice::Span(value)))
                if !self.style.rewrites() && name.end + 2 == value.start =>
            {
                Some(Span { start: name.start - 1, end: value.end })
            }
            _ => None,
        }
    }

    fn member(&self, out: &mut Vec<u8>, name: &Slice, value: &Node) {
        let name = name.of(self.bytes);
        out.push(b'"');
        if self.style.rewrites() {
            text::push_escaped(out, &text::unescape(name), self.style.escaping);
        } else {
            out.extend_from_slice(name);
        }
        out.extend_from_slice(b"\":");
        self.value(out, name, value);
    }

    /// Appends the value of the member `name`.
    pub(super) fn value(&self, out: &mut Vec<u8>, name: &[u8], node: &Node) {
        match node {
            Node::Raw(slice) if self.style.rewrites() => self.rewrite(out, name, slice),
            Node::Raw(Slice::Span(span)) => self.copy(out, *span),
            Node::Raw(Slice::Owned(text)) => out.extend_from_slice(text),
            Node::Marked(text) if self.style.rewrites() => text::push_as_kong(out, text),
            Node::Marked(text) => out.extend_from_slice(text),
            Node::Object(members) => self.object(out, members),
            Node::Array(elements, _) if elements.is_empty() => self.empty_array(out, name),
            Node::Array(elements, _) => {
                out.push(b'[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    self.value(out, b"", element);
                }
                out.push(b']');
            }
        }
    }

    /// The text of a value in the default style.
    pub(super) fn text<'t>(&'t self, slice: &'t Slice) -> Cow<'t, [u8]> {
        match slice {
            Slice::Span(span) if self.placeholders.touch(*span) => {
                let mut out = Vec::with_capacity((span.end - span.start) as usize);
                self.copy(&mut out, *span);
                Cow::Owned(out)
            }
            slice => Cow::Borrowed(slice.of(self.bytes)),
        }
    }

    /// Copies a span of the transaction, with placeholders for parts of it.
    fn copy(&self, out: &mut Vec<u8>, span: Span) {
        if let Some(over) = self.placeholders.over(span) {
            out.extend_from_slice(over.text());
            return;
        }
        let mut from = span.start;
        for (inside, placeholder) in self.placeholders.within(span) {
            out.extend_from_slice(&self.bytes[from as usize..inside.start as usize]);
            out.extend_from_slice(placeholder.text());
            from = inside.end;
        }
        out.extend_from_slice(&self.bytes[from as usize..span.end as usize]);
    }

    fn empty_array(&self, out: &mut Vec<u8>, name: &[u8]) {
        let as_object = self.style.empty_arrays_as_objects && !MARKED_ARRAYS.contains(&name);
        out.extend_from_slice(if as_object { b"{}" } else { b"[]" });
    }

    /// Rewrites text in Kong's style: opens containers to find empty arrays, and converts strings and numbers.
    fn rewrite(&self, out: &mut Vec<u8>, name: &[u8], slice: &Slice) {
        if let Slice::Span(span) = slice
            && let Some(over) = self.placeholders.over(*span)
        {
            out.extend_from_slice(over.text());
            return;
        }
        let mut node = Node::Raw(slice.clone());
        node.open(self.bytes, self.placeholders);
        match node {
            Node::Raw(slice) => text::push_as_kong(out, slice.of(self.bytes)),
            opened => self.value(out, name, &opened),
        }
    }
}
