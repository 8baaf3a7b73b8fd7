//! Requests in protobuf.

use std::borrow::Cow;

use bytes::Bytes;
use prost::Message;

use super::record::{Group, Record};
use super::value::{Any, Attributes, Scope};
use super::{ReadError, RecordError};
use crate::wire::{FieldError, field};

/// The fields of a `LogRecord` that are neither values nor attributes.
#[derive(Clone, PartialEq, Message)]
struct Plain {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(bytes = "bytes", tag = "3")]
    severity_text: Bytes,
    #[prost(bytes = "bytes", optional, tag = "5")]
    body: Option<Bytes>,
    #[prost(uint32, tag = "7")]
    dropped_attributes_count: u32,
    #[prost(fixed32, tag = "8")]
    flags: u32,
    #[prost(bytes = "bytes", tag = "9")]
    trace_id: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    span_id: Bytes,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
    #[prost(bytes = "bytes", tag = "12")]
    event_name: Bytes,
}

/// The number of the attributes in a `LogRecord`.
const RECORD_ATTRIBUTES: u32 = 6;

/// The number of the attributes in a `Resource`.
const RESOURCE_ATTRIBUTES: u32 = 1;

impl<E> From<FieldError> for ReadError<E> {
    fn from(_: FieldError) -> Self {
        Self::Malformed("not an ExportLogsServiceRequest in protobuf".to_owned())
    }
}

type Take<'t, E> = &'t mut dyn FnMut(&Group<'_>, Result<Record<'_>, RecordError>) -> Result<(), E>;

pub(super) fn read<E>(request: &Bytes, take: Take<'_, E>) -> Result<(), ReadError<E>> {
    each(request, 1, |resource_logs| {
        // The resource may follow its records; of several the last counts.
        let resource = last(&resource_logs, 1)?.unwrap_or_default();
        let resource = Attributes::Fields(resource, RESOURCE_ATTRIBUTES);
        each(&resource_logs, 2, |scope_logs| {
            let scope = last(&scope_logs, 1)?;
            let group = Group::new(resource.clone(), scope.map_or(Scope::None, Scope::Fields));
            each(&scope_logs, 2, |bytes| take(&group, record(bytes)).map_err(ReadError::Ended))
        })
    })
}

fn record(bytes: Bytes) -> Result<Record<'static>, RecordError> {
    let attributes = Attributes::Fields(bytes.clone(), RECORD_ATTRIBUTES);
    let plain = Plain::decode(bytes).map_err(|error| RecordError::malformed(format!("not a log record: {error}")))?;
    Ok(Record {
        time_unix_nano: plain.time_unix_nano,
        observed_time_unix_nano: plain.observed_time_unix_nano,
        severity_number: plain.severity_number.into(),
        severity_text: Cow::Owned(plain.severity_text.into()),
        body: plain.body.map(Any::Message),
        attributes,
        dropped_attributes_count: plain.dropped_attributes_count.into(),
        flags: plain.flags.into(),
        trace_id: hexadecimal(&plain.trace_id),
        span_id: hexadecimal(&plain.span_id),
        event_name: Cow::Owned(plain.event_name.into()),
    })
}

/// Calls `take` for each field `number` of a message.
pub(super) fn each<E: From<FieldError>>(
    message: &Bytes,
    number: u32,
    mut take: impl FnMut(Bytes) -> Result<(), E>,
) -> Result<(), E> {
    let mut rest = message.clone();
    while let Some((found, bytes)) = field(&mut rest)? {
        if found == number {
            take(bytes)?;
        }
    }
    Ok(())
}

/// The last field `number` of a message.
fn last(message: &Bytes, number: u32) -> Result<Option<Bytes>, FieldError> {
    let mut last = None;
    each(message, number, |bytes| {
        last = Some(bytes);
        Ok::<_, FieldError>(())
    })?;
    Ok(last)
}

/// An id; ids have 8 or 16 bytes, and more than 64 are cut off.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect()
}
