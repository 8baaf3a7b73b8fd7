//! The body of a request, as Kong's Admin API reads it (kong/api/api_helpers.lua, kong/api/arguments.lua, and Lapis).
//!
//! A form says nothing about types: [`decode_form`] nests its pairs by their names and takes the types from a schema. JSON
//! is never converted.

mod form;
mod infer;
mod json;
mod name;
mod table;

#[cfg(test)]
mod tests;

use std::cell::Cell;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use logphase_script::transaction::multipart_parts;
use serde_json::{Map, Value, json};
use thiserror::Error;

pub use form::{decode_form, decode_untyped};

/// Bytes of a body, at most: nginx's `client_max_body_size` for Kong's Admin API.
pub const MAX_BODY: usize = 10 << 20;
/// Pairs of a form or of a query, at most (`max_post_args`, `max_uri_args`).
pub const MAX_PAIRS: usize = 1000;
/// Levels that the name of a pair may nest. Kong has no bound.
pub const MAX_LEVELS: usize = 100;

/// A pair of a form: the decoded name and value. A pair without `=` has no value: Kong takes it for `true`.
pub type Pair = (String, Option<String>);

/// What a request sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// No body and no content type.
    None,
    /// An object in JSON. A list is an object with the keys `1`, `2`, ...: Kong's tables do not tell them apart.
    Json(Map<String, Value>),
    /// The pairs of a form, in order, for [`decode_form`].
    Form(Vec<Pair>),
    /// A text in YAML.
    Yaml(String),
}

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BodyError {
    /// The content type is missing, or is none of those that are read. Kong answers without a body.
    #[error("")]
    MediaType,
    /// The content type is there more than once. Kong answers with the bare text.
    #[error("Multiple Content-Type headers not allowed")]
    SeveralMediaTypes,
    /// The body is no JSON, or neither an object nor a list. Kong answers 500 for other JSON.
    #[error("Cannot parse JSON body")]
    Json,
    /// There are more than [`MAX_PAIRS`] pairs.
    #[error("Too many arguments")]
    TooMany,
    /// There are more than [`MAX_BODY`] bytes.
    #[error("Request body too large: at most {} MiB are read", MAX_BODY >> 20)]
    TooLarge,
    /// The parts of the body cannot be told apart. Kong takes it for an empty form.
    #[error("Cannot parse multipart body: {0}")]
    Multipart(String),
    /// A form or a text in YAML has bytes that are no text. Kong takes them over.
    #[error("Cannot parse body: {0} is not valid UTF-8")]
    Encoding(String),
    /// A name nests more than [`MAX_LEVELS`] levels.
    #[error("Cannot parse body: a name nests deeper than {MAX_LEVELS} levels: {0}")]
    TooDeep(String),
}

impl BodyError {
    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The body of the answer, to the byte.
    pub fn body(&self) -> String {
        match self {
            Self::MediaType => String::new(),
            Self::SeveralMediaTypes => self.to_string(),
            _ => json!({"message": self.to_string()}).to_string(),
        }
    }
}

/// Reads `body` by its content type, which is recognized by its beginning and in lower case. YAML is read only if
/// `accepts_yaml`, which Kong does for `/config`. Call it for POST, PUT and PATCH: Kong ignores other bodies.
///
/// # Errors
/// See [`BodyError`].
pub fn read(headers: &HeaderMap, body: &Bytes, accepts_yaml: bool) -> Result<Body, BodyError> {
    if body.len() > MAX_BODY {
        return Err(BodyError::TooLarge);
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let Some(content_type) = types.next() else {
        return if body.is_empty() { Ok(Body::None) } else { Err(BodyError::MediaType) };
    };
    if types.next().is_some() {
        return Err(BodyError::SeveralMediaTypes);
    }
    let is = |kind: &str| content_type.as_bytes().starts_with(kind.as_bytes());
    if is("application/json") {
        json::object(body).map(Body::Json).ok_or(BodyError::Json)
    } else if is("multipart/form-data") {
        multipart(body, content_type).map(Body::Form)
    } else if is("application/x-www-form-urlencoded") {
        urlencoded(body).map(Body::Form)
    } else if accepts_yaml && (is("application/yaml") || is("text/yaml")) {
        text(body, || "the YAML text".to_owned()).map(Body::Yaml)
    } else {
        Err(BodyError::MediaType)
    }
}

/// The pairs of a form or a query, as ngx_lua splits them: `+` is a space, and pairs without a name are left out.
///
/// # Errors
/// There are too many, or one is not UTF-8.
pub fn urlencoded(text: &[u8]) -> Result<Vec<Pair>, BodyError> {
    // ngx_lua counts the separators, also between empty pairs.
    if memchr::memchr_iter(b'&', text).count() >= MAX_PAIRS {
        return Err(BodyError::TooMany);
    }
    let named = text.split(|byte| *byte == b'&').filter(|pair| !matches!(pair, [] | [b'=', ..]));
    named
        .map(|pair| {
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], Some(&pair[at + 1..])),
                None => (pair, None),
            };
            let name = unescaped(name, || "a name".to_owned())?;
            let value = value.map(|value| unescaped(value, || format!("the value of '{name}'"))).transpose()?;
            Ok((name, value))
        })
        .collect()
}

/// The named parts of a body, files too.
fn multipart(body: &[u8], content_type: &HeaderValue) -> Result<Vec<Pair>, BodyError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let content_type = content_type.to_str().map_err(|_| BodyError::MediaType)?;
    let seen = Cell::new(0);
    let parts = multipart_parts(body, content_type, || {
        seen.set(seen.get() + 1);
        seen.get() <= MAX_PAIRS
    });
    if seen.get() > MAX_PAIRS {
        return Err(BodyError::TooMany);
    }
    if let Some(problem) = parts.problem {
        return Err(BodyError::Multipart(problem));
    }
    let pair = |(name, value): (String, Bytes)| {
        // Lapis decodes names as those of a query.
        let name = unescaped(name.as_bytes(), || "a name".to_owned())?;
        let value = text(&value, || format!("the value of '{name}'"))?;
        Ok((name, Some(value)))
    };
    parts.fields.into_iter().map(pair).collect()
}

/// Decodes a name or a value. An incomplete escape stays as it is.
fn unescaped(bytes: &[u8], what: impl FnOnce() -> String) -> Result<String, BodyError> {
    let spaced: Vec<u8> = bytes.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    let decoded: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    String::from_utf8(decoded).map_err(|_| BodyError::Encoding(what()))
}

fn text(bytes: &[u8], what: impl FnOnce() -> String) -> Result<String, BodyError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| BodyError::Encoding(what()))
}
