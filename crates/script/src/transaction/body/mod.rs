//! Bodies in `_context`, and the parsers of forms, which scripts and messages share.

pub(crate) mod form;
pub(crate) mod multipart;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Level, Transaction, View, text};

/// The content types that are parsed, recognized like in `kong.request.get_body` (kong/pdk/request.lua).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
    /// `multipart/form-data`.
    Multipart,
}

impl Format {
    const ALL: [Self; 3] = [Self::Form, Self::Json, Self::Multipart];

    /// The format whose name is a prefix of this header, in any case.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let begins = |name: &str| {
            content_type.as_bytes().get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes()))
        };
        Self::ALL.into_iter().find(|format| begins(format.name()))
    }

    /// The content type itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Form => "application/x-www-form-urlencoded",
            Self::Json => "application/json",
            Self::Multipart => "multipart/form-data",
        }
    }
}

/// A body that is marked as base64 but is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotBase64;

impl Transaction {
    /// The body called `name` in `_context`, decoded if the member `<name>_base64` is true. An empty text is a body.
    pub(crate) fn body(&self, name: &str) -> Option<Result<Cow<'_, [u8]>, NotBase64>> {
        let context = self.context_object()?;
        let text = context.get(name)?.string()?;
        let encoded = context.get(&format!("{name}_base64")).is_some_and(|flag| flag.raw() == b"true");
        Some(if encoded { STANDARD.decode(text).map(Cow::Owned).map_err(|_| NotBase64) } else { Ok(text) })
    }

    /// Whether `_context` may have a body; `false` is certain. This only searches the text; [`Self::body`] reads members.
    pub(crate) fn may_have_body(&self) -> bool {
        let may = |context: View<'_>| {
            // Names may contain escapes.
            memchr::memmem::find(context.raw(), b"_body\"").is_some() || memchr::memchr(b'\\', context.raw()).is_some()
        };
        self.context_object().is_some_and(may)
    }

    /// Finds a header like Kong: by its exact name, else in any case and with `_` for `-` on either side.
    pub(crate) fn header(&self, level: Level, name: &[u8]) -> Option<View<'_>> {
        let found = |matches: &dyn Fn(&[u8]) -> bool| {
            self.members_at(level).rev().find(|member| {
                let key = member.key.of(self.bytes());
                matches(key) || (self.traits.escaped_names && matches(&text::unescape(key)))
            })
        };
        let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        let normalized =
            |key: &[u8]| key.len() == name.len() && key.iter().zip(name).all(|(a, b)| a == b || fold(*a) == fold(*b));
        let member = found(&|key| key == name).or_else(|| found(&normalized))?;
        Some(View::new(member.value.of(self.bytes())))
    }
}
