//! The field `include_body`.

use serde::Deserialize;

/// The bodies that are part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Include {
    /// The request's.
    pub request: bool,
    /// The response's.
    pub response: bool,
}

impl Include {
    /// None.
    pub const OFF: Self = Self { request: false, response: false };
    /// The request's only.
    pub const REQUEST: Self = Self { request: true, response: false };
    /// The response's only.
    pub const RESPONSE: Self = Self { request: false, response: true };
    /// Both.
    pub const BOTH: Self = Self { request: true, response: true };
}

impl TryFrom<String> for Include {
    type Error = String;

    /// Parses a value of the field `include_body`.
    fn try_from(word: String) -> Result<Self, String> {
        match &*word {
            "off" => Ok(Self::OFF),
            "request" => Ok(Self::REQUEST),
            "response" => Ok(Self::RESPONSE),
            "both" => Ok(Self::BOTH),
            _ => Err(format!("`{word}` is none of off, request, response, both")),
        }
    }
}
