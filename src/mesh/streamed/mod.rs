//! Lines that Envoys write for the access log streamer of kuma-dp, which sends each to the address that it names
//! (app/kuma-dp/pkg/dataplane/accesslogs/streamer.go of Kuma).
//!
//! A line for a TrafficLog is `ADDRESS;TEXT`. One for a MeshAccessLog is JSON, `{"address": ADDRESS, "message": MESSAGE}`, where the
//! message is a text, which is sent as it is, or any other value, which is written again as Go writes JSON.

mod go_json;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserializer as _;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::address::split_host_port;

/// Characters of a text that an error shows.
const SHOWN: usize = 100;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamedLine {
    /// `HOST:PORT`, as it is written in the line.
    pub address: String,
    /// What is sent there, without the line end that follows it.
    pub message: Bytes,
}

/// Why a line cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamedLineError {
    /// It is of neither form.
    #[error("expected `ADDRESS;TEXT` or a JSON object with `address` and `message`, not `{0}`")]
    Form(String),
    /// What should be the address is none.
    #[error("expected an address, HOST:PORT, and not `{0}`")]
    Address(String),
}

impl StreamedLine {
    /// Reads a line, which is given without its line end.
    ///
    /// # Errors
    /// The line names no address.
    pub fn parse(line: &[u8]) -> Result<Self, StreamedLineError> {
        let parsed = of_json(line).or_else(|| of_text(line));
        let (address, message) = parsed.ok_or_else(|| StreamedLineError::Form(shown(line)))?;
        let port = split_host_port(&address).and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            return Err(StreamedLineError::Address(shown(address.as_bytes())));
        }
        Ok(Self { address, message })
    }
}

/// The first characters of a text that anybody may have written.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN)]);
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

/// Of the form of TrafficLogs.
fn of_text(line: &[u8]) -> Option<(String, Bytes)> {
    let at = memchr::memchr(b';', line)?;
    Some((String::from_utf8_lossy(&line[..at]).into_owned(), Bytes::copy_from_slice(&line[at + 1..])))
}

/// Of the form of MeshAccessLogs. As in Kuma, a line that is not JSON of this shape is of the other form.
fn of_json(line: &[u8]) -> Option<(String, Bytes)> {
    if !line.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let mut json = serde_json::Deserializer::from_str(&text);
    let Wrapped { address, message } = json.deserialize_map(WrappedVisitor).ok()?;
    json.end().ok()?;
    let message = message.map_or("null", RawValue::get);
    let message = match message.starts_with('"') {
        true => {
            let mut text: String = serde_json::from_str(message).ok()?;
            // Whatever sends it writes a line end after it.
            if text.ends_with('\n') {
                text.truncate(text.len() - 1);
            }
            text.into_bytes()
        }
        false => go_json::rewritten(message)?,
    };
    Some((address.into_owned(), message.into()))
}

/// The object that wraps a message.
#[derive(Default)]
struct Wrapped<'a> {
    address: Cow<'a, str>,
    message: Option<&'a RawValue>,
}

/// Reads the members as Go does: whatever their case, the last one counts, and `null` is no address.
struct WrappedVisitor;

impl<'de> Visitor<'de> for WrappedVisitor {
    type Value = Wrapped<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `address` and `message`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wrapped<'de>, A::Error> {
        let mut wrapped = Wrapped::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key.eq_ignore_ascii_case("address") {
                if let Some(address) = map.next_value::<Option<String>>()? {
                    wrapped.address = address.into();
                }
            } else if key.eq_ignore_ascii_case("message") {
                wrapped.message = Some(map.next_value::<&RawValue>().map_err(A::Error::custom)?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(wrapped)
    }
}

#[cfg(test)]
mod tests;
