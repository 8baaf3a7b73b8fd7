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

fn varint(message: &mut &[u8]) -> Option<u64> {
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
