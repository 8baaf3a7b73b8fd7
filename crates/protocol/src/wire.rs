//! The encoding of protobuf, read field by field.

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Bytes that are not fields of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FieldError;

/// The next field of `message` that has a length, and its number; others are skipped.
///
/// # Errors
/// What follows is not a field.
pub(crate) fn field(message: &mut Bytes) -> Result<Option<(u32, Bytes)>, FieldError> {
    while message.has_remaining() {
        let (number, wire_type) = decode_key(message).map_err(|_| FieldError)?;
        if wire_type != WireType::LengthDelimited {
            skip_field(wire_type, number, message, DecodeContext::default()).map_err(|_| FieldError)?;
            continue;
        }
        let length = decode_varint(message).map_err(|_| FieldError)?;
        return match usize::try_from(length) {
            Ok(length) if length <= message.len() => Ok(Some((number, message.split_to(length)))),
            _ => Err(FieldError),
        };
    }
    Ok(None)
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// The next field of `message`: its number and value. `None` at the end, and where what follows is not a field.
#[inline]
pub(crate) fn next<'a>(message: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = varint(message)?;
    let value = match key & 7 {
        0 => Value::Varint(varint(message)?),
        1 => {
            let (bytes, rest) = message.split_first_chunk()?;
            *message = rest;
            Value::Fixed64(u64::from_le_bytes(*bytes))
        }
        2 => {
            let length = usize::try_from(varint(message)?).ok()?;
            let (bytes, rest) = message.split_at_checked(length)?;
            *message = rest;
            Value::Bytes(bytes)
        }
        5 => {
            *message = message.get(4..)?;
            Value::Fixed32
        }
        _ => return None,
    };
    Some((key >> 3, value))
}

#[inline]
fn varint(message: &mut &[u8]) -> Option<u64> {
    if let [byte, rest @ ..] = *message
        && *byte < 0x80
    {
        *message = rest;
        return Some(u64::from(*byte));
    }
    let mut value = 0;
    for (at, byte) in message.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *message = &message[at + 1..];
            return Some(value);
        }
    }
    None
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// They end within a field.
    Truncated,
    /// A number has more than 64 bits.
    Varint,
    /// What should tell a field's number and type tells neither.
    Key,
    /// A fixed number or group that is skipped does not end as it must.
    Group,
    /// A field is not of the kind that it must be, which is bytes.
    NotBytes,
    /// A field is not of the kind that it must be, which is a number.
    NotNumber,
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "it ends within a field",
            Self::Varint => "a number of it has more than 64 bits",
            Self::Key => "a field of it has no valid number and type",
            Self::Group => "a field of it that is skipped is cut short, or a group that is not closed or too deep",
            Self::NotBytes => "a field of it is not bytes, as it must be",
            Self::NotNumber => "a field of it is not a number, as it must be",
        })
    }
}

impl std::error::Error for WireError {}

/// The value of a field, as [`strict`] reads it. The methods give it as the type that a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A fixed number or a group, which no field of the messages here is.
    Other,
}

impl<'a> Field<'a> {
    #[inline]
    pub(crate) fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Other => Err(WireError::NotBytes),
        }
    }

    #[inline]
    pub(crate) fn uint64(self) -> Result<u64, WireError> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Bytes(_) | Self::Other => Err(WireError::NotNumber),
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_wrap, reason = "negative numbers are sent as their two's complement")]
    pub(crate) fn int64(self) -> Result<i64, WireError> {
        Ok(self.uint64()? as i64)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "protobuf drops what a type has no room for")]
    pub(crate) fn uint32(self) -> Result<u32, WireError> {
        Ok(self.uint64()? as u32)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "protobuf drops what a type has no room for")]
    pub(crate) fn int32(self) -> Result<i32, WireError> {
        Ok(self.uint64()? as i32)
    }
}

/// The next field of `message`: its number and value. `None` at the end.
///
/// # Errors
/// What follows is not a field.
#[inline(always)]
pub(crate) fn strict<'a>(message: &mut &'a [u8]) -> Result<Option<(u32, Field<'a>)>, WireError> {
    if message.is_empty() {
        return Ok(None);
    }
    let key = u32::try_from(strict_varint(message)?).map_err(|_| WireError::Key)?;
    let number = key >> 3;
    if number == 0 {
        return Err(WireError::Key);
    }
    let field = match key & 7 {
        0 => Field::Varint(strict_varint(message)?),
        2 => {
            let length = usize::try_from(strict_varint(message)?).map_err(|_| WireError::Truncated)?;
            let (bytes, rest) = message.split_at_checked(length).ok_or(WireError::Truncated)?;
            *message = rest;
            Field::Bytes(bytes)
        }
        kind => {
            skip(kind, number, message)?;
            Field::Other
        }
    };
    Ok(Some((number, field)))
}

#[cold]
fn skip(kind: u32, number: u32, message: &mut &[u8]) -> Result<(), WireError> {
    let kind = WireType::try_from(u64::from(kind)).map_err(|_| WireError::Key)?;
    skip_field(kind, number, message, DecodeContext::default()).map_err(|_| WireError::Group)
}

/// A number of up to 64 bits. Nearly all have one or two bytes.
#[inline(always)]
fn strict_varint(message: &mut &[u8]) -> Result<u64, WireError> {
    match **message {
        [byte, ref rest @ ..] if byte < 0x80 => {
            *message = rest;
            Ok(u64::from(byte))
        }
        [low, high, ref rest @ ..] if high < 0x80 => {
            *message = rest;
            Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
        }
        _ => long_varint(message),
    }
}

fn long_varint(message: &mut &[u8]) -> Result<u64, WireError> {
    decode_varint(message).map_err(|_| WireError::Varint)
}
