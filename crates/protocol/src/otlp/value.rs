//! Values (`AnyValue`, `KeyValue`) of either encoding, written as JSON while they are read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

use super::json::ScopeText;
use super::protobuf::each;
use super::seed::{Node, Seed};
use super::{MAX_DEPTH, RecordError};
use crate::json::Writer;
use crate::wire::{FieldError, field};

/// A value: the bytes of an `AnyValue`, or its JSON form.
#[derive(Debug, Clone)]
pub(super) enum Any<'a> {
    Message(Bytes),
    Text(&'a RawValue),
}

/// Attributes: fields with this number of a message, or the JSON form of a list of `KeyValue`.
#[derive(Debug, Clone)]
pub(super) enum Attributes<'a> {
    Fields(Bytes, u32),
    Text(Option<&'a RawValue>),
}

impl Default for Attributes<'_> {
    fn default() -> Self {
        Self::Text(None)
    }
}

/// The scope of records.
#[derive(Debug, Clone, Default)]
pub(super) enum Scope<'a> {
    #[default]
    None,
    Fields(Bytes),
    Text(ScopeText<'a>),
}

impl<'a> Scope<'a> {
    /// Opens the member `scope`, with all but its attributes, which are returned; `None` if there is no scope.
    pub(super) fn open(&self, values: &mut Values<'_>) -> Result<Option<Attributes<'a>>, RecordError> {
        let attributes = match self {
            Self::None => return Ok(None),
            Self::Fields(scope) => {
                values.json.open_member("scope");
                for (number, name) in [(1, "name"), (2, "version")] {
                    let mut text = Bytes::new();
                    each(scope, number, |bytes| {
                        text = bytes;
                        Ok::<_, RecordError>(())
                    })?;
                    values.json.text_member(name, &text);
                }
                Attributes::Fields(scope.clone(), 3)
            }
            Self::Text(scope) => {
                values.json.open_member("scope");
                values.json.text_member("name", scope.name.0.as_bytes());
                values.json.text_member("version", scope.version.0.as_bytes());
                Attributes::Text(scope.attributes)
            }
        };
        values.check()?;
        Ok(Some(attributes))
    }
}

impl Any<'_> {
    /// The text of a string in protobuf, without a copy.
    pub(super) fn plain_text(&self) -> Option<Bytes> {
        let Self::Message(message) = self else { return None };
        let mut rest = message.clone();
        let (number, text) = field(&mut rest).ok()??;
        (rest.is_empty() && matches!(number, 1 | 7)).then_some(text)
    }
}

impl From<FieldError> for RecordError {
    fn from(_: FieldError) -> Self {
        Self::malformed("a value is not one in protobuf")
    }
}

/// Writes values.
pub(super) struct Values<'w> {
    pub(super) json: Writer<'w>,
    max_bytes: usize,
    pub(super) depth: usize,
    /// Why reading JSON ended, where that is not a mistake of JSON.
    pub(super) error: Option<RecordError>,
}

impl<'w> Values<'w> {
    /// Writes to `out`, which is to have at most `max_bytes`.
    pub(super) fn new(out: &'w mut Vec<u8>, max_bytes: usize) -> Self {
        Self { json: Writer(out), max_bytes, depth: 0, error: None }
    }

    /// Whether what was written is within the limit.
    pub(super) fn check(&self) -> Result<(), RecordError> {
        if self.json.0.len() > self.max_bytes {
            let max_bytes = self.max_bytes;
            return Err(RecordError::too_large(format!("a record of more than {max_bytes} bytes")));
        }
        Ok(())
    }

    /// JSON as it is.
    pub(super) fn raw(&mut self, json: &[u8]) -> Result<(), RecordError> {
        self.json.0.extend_from_slice(json);
        self.check()
    }

    /// The members that attributes are.
    pub(super) fn attributes(&mut self, attributes: &Attributes<'_>) -> Result<(), RecordError> {
        match attributes {
            Attributes::Fields(message, number) => each(message, *number, |member| self.member(&member)),
            Attributes::Text(None) => Ok(()),
            Attributes::Text(Some(text)) => self.parse(text, Node::Members),
        }
    }

    /// A value.
    pub(super) fn any(&mut self, value: &Any<'_>) -> Result<(), RecordError> {
        match value {
            Any::Message(message) => self.message(message),
            Any::Text(text) => self.parse(text, Node::Value),
        }
    }

    /// Goes one level deeper.
    pub(super) fn descend(&mut self) -> Result<(), RecordError> {
        if self.depth == MAX_DEPTH {
            return Err(RecordError::too_large(format!("values are nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        Ok(())
    }

    /// Comes back from [`Self::descend`].
    pub(super) fn ascend(&mut self) {
        self.depth -= 1;
    }

    /// A `KeyValue` as a member.
    fn member(&mut self, message: &Bytes) -> Result<(), RecordError> {
        let (mut rest, mut key, mut value) = (message.clone(), Bytes::new(), Bytes::new());
        while let Some((number, bytes)) = field(&mut rest)? {
            match number {
                1 => key = bytes,
                2 => value = bytes,
                _ => {}
            }
        }
        self.json.foreign_name(&key);
        self.check()?;
        self.message(&value)
    }

    /// An `AnyValue`; of several of its fields the last counts.
    fn message(&mut self, message: &Bytes) -> Result<(), RecordError> {
        let (mut rest, mut found) = (message.clone(), None);
        while let Some(next) = kind(&mut rest)? {
            found = Some(next);
        }
        match found {
            None => self.json.serialized(()),
            Some(Kind::Text(text)) => self.json.text(&text),
            Some(Kind::Bool(value)) => self.json.serialized(value),
            Some(Kind::Integer(number)) => self.json.serialized(number),
            Some(Kind::Double(number)) => self.json.float(number),
            Some(Kind::Bytes(bytes)) => self.json.text(STANDARD.encode(bytes).as_bytes()),
            Some(Kind::Array(array)) => {
                self.json.open(b'[');
                self.descend()?;
                each(&array, 1, |value| self.message(&value))?;
                self.ascend();
                self.json.close(b']');
            }
            Some(Kind::Map(map)) => {
                self.json.open(b'{');
                self.descend()?;
                each(&map, 1, |member| self.member(&member))?;
                self.ascend();
                self.json.close(b'}');
            }
        }
        self.check()
    }

    /// Reads the JSON form of a value or of attributes.
    fn parse(&mut self, text: &RawValue, node: Node) -> Result<(), RecordError> {
        let mut deserializer = serde_json::Deserializer::from_str(text.get());
        let read = Seed { values: self, node }.deserialize(&mut deserializer);
        match self.error.take() {
            Some(error) => Err(error),
            None => read.map_err(RecordError::malformed),
        }
    }
}

/// The value that a field of an `AnyValue` holds.
enum Kind {
    Text(Bytes),
    Bool(bool),
    Integer(i64),
    Double(f64),
    Array(Bytes),
    Map(Bytes),
    Bytes(Bytes),
}

/// The next field of an `AnyValue`; unknown ones are skipped.
fn kind(message: &mut Bytes) -> Result<Option<Kind>, FieldError> {
    while message.has_remaining() {
        let (number, wire_type) = decode_key(message).map_err(|_| FieldError)?;
        return Ok(Some(match (number, wire_type) {
            (2, WireType::Varint) => Kind::Bool(decode_varint(message).map_err(|_| FieldError)? != 0),
            (3, WireType::Varint) => Kind::Integer(decode_varint(message).map_err(|_| FieldError)?.cast_signed()),
            (4, WireType::SixtyFourBit) => Kind::Double(message.try_get_f64_le().map_err(|_| FieldError)?),
            (number @ (1 | 5 | 6 | 7), WireType::LengthDelimited) => {
                let length = decode_varint(message).map_err(|_| FieldError)?;
                let length = usize::try_from(length).map_err(|_| FieldError)?;
                if length > message.len() {
                    return Err(FieldError);
                }
                let bytes = message.split_to(length);
                match number {
                    1 => Kind::Text(bytes),
                    5 => Kind::Array(bytes),
                    6 => Kind::Map(bytes),
                    _ => Kind::Bytes(bytes),
                }
            }
            _ => {
                skip_field(wire_type, number, message, DecodeContext::default()).map_err(|_| FieldError)?;
                continue;
            }
        }));
    }
    Ok(None)
}
