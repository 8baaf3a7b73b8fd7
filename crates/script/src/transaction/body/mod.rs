//! What a body is made of: its bytes out of `_context`, and its forms. Scripts and messages read bodies with the same
//! parsers.

pub mod form;
pub mod multipart;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Level, Transaction, View, text};

/// The content types that are parsed, as `kong.request.get_body` tells them (kong/pdk/request.lua).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
    /// `multipart/form-data`.
    Multipart,
}

impl Format {
    const ALL: [Self; 3] = [Self::Form, Self::Json, Self::Multipart];

    /// The format of a body with this header: the one whose name the header begins with, in any case.
    pub fn of(content_type: &str) -> Option<Self> {
        let begins = |name: &str| {
            content_type.as_bytes().get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes()))
        };
        Self::ALL.into_iter().find(|format| begins(format.name()))
    }

    /// The content type itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::Form => "application/x-www-form-urlencoded",
            Self::Json => "application/json",
            Self::Multipart => "multipart/form-data",
        }
    }
}

/// A body that its `_base64` flag calls base64 and that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBase64;

impl Transaction {
    /// The body called `name` in `_context`, decoded if the member `<name>_base64` says so. An empty text is a body.
    pub fn body(&self, name: &str) -> Option<Result<Cow<'_, [u8]>, NotBase64>> {
        let context = self.context_object()?;
        let text = context.get(name)?.string()?;
        let encoded = context.get(&format!("{name}_base64")).is_some_and(|flag| flag.raw() == b"true");
        Some(if encoded { STANDARD.decode(text).map(Cow::Owned).map_err(|_| NotBase64) } else { Ok(text) })
    }

    /// Whether `_context` may have a body; `false` is certain. Costs a search, where [`Self::body`] reads the members.
    pub fn may_have_body(&self) -> bool {
        let may = |context: View<'_>| {
            // A name may be written with escapes.
            memchr::memmem::find(context.raw(), b"_body\"").is_some() || memchr::memchr(b'\\', context.raw()).is_some()
        };
        self.context_object().is_some_and(may)
    }

    /// A header by name as Kong finds it: as written, else in lower case with `_` for `-`.
    pub fn header(&self, level: Level, name: &[u8]) -> Option<View<'_>> {
        let found = |matches: &dyn Fn(&[u8]) -> bool| {
            self.members_at(level).rev().find(|member| {
                let key = member.key.of(self.bytes());
                matches(key) || (self.traits.escaped_names && matches(&text::unescape(key)))
            })
        };
        let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        let normalized = |key: &[u8]| {
            key.len() == name.len() && key.iter().zip(name).all(|(a, b)| a.to_ascii_lowercase() == fold(*b))
        };
        let member = found(&|key| key == name).or_else(|| found(&normalized))?;
        Some(View::new(member.value.of(self.bytes())))
    }
}
