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
