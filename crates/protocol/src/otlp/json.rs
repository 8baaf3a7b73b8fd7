//! Requests in JSON.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::record::{Group, Record};
use super::value::{Any, Attributes, Scope};
use super::{ReadError, RecordError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, default)]
    resource_logs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    #[serde(borrow, default)]
    resource: Option<Resource<'a>>,
    #[serde(borrow, default)]
    scope_logs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    attributes: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    #[serde(borrow, default)]
    scope: Option<ScopeText<'a>>,
    #[serde(borrow, default)]
    log_records: Option<&'a RawValue>,
}

/// `opentelemetry.proto.common.v1.InstrumentationScope`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ScopeText<'a> {
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) version: Text<'a>,
    #[serde(borrow, default)]
    pub(super) attributes: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord<'a> {
    #[serde(default)]
    time_unix_nano: Integer<u64>,
    #[serde(default)]
    observed_time_unix_nano: Integer<u64>,
    #[serde(default)]
    severity_number: Integer<i64>,
    #[serde(borrow, default)]
    severity_text: Text<'a>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
    #[serde(borrow, default)]
    attributes: Option<&'a RawValue>,
    #[serde(default)]
    dropped_attributes_count: Integer<u64>,
    #[serde(default)]
    flags: Integer<u64>,
    #[serde(borrow, default)]
    trace_id: Text<'a>,
    #[serde(borrow, default)]
    span_id: Text<'a>,
    #[serde(borrow, default)]
    event_name: Text<'a>,
}

type Take<'t, E> = &'t mut dyn FnMut(&Group<'_>, Result<Record<'_>, RecordError>) -> Result<(), E>;

pub(super) fn read<E>(request: &Bytes, take: Take<'_, E>) -> Result<(), ReadError<E>> {
    let text = std::str::from_utf8(request).map_err(malformed)?;
    let request: Request<'_> = object(text).map_err(malformed)?;
    elements(request.resource_logs, |resource_logs| {
        let ResourceLogs { resource, scope_logs } = object(resource_logs.get()).map_err(malformed)?;
        let resource = resource.and_then(|resource| resource.attributes);
        elements(scope_logs, |scope_logs| {
            let ScopeLogs { scope, log_records } = object(scope_logs.get()).map_err(malformed)?;
            let group = Group::new(Attributes::Text(resource), scope.map_or(Scope::None, Scope::Text));
            elements(log_records, |record| take(&group, read_record(record)).map_err(ReadError::Ended))
        })
    })
}

fn malformed<E>(error: impl fmt::Display) -> ReadError<E> {
    ReadError::Malformed(super::shortened(&format_args!("not an ExportLogsServiceRequest in JSON: {error}")))
}

/// Reads an object; serde would also take an array for a structure.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    if text.trim_start().starts_with('{') {
        serde_json::from_str(text)
    } else {
        Err(de::Error::custom("not an object"))
    }
}

fn read_record(text: &RawValue) -> Result<Record<'_>, RecordError> {
    let record = object(text.get());
    let record: LogRecord<'_> = record.map_err(|error| RecordError::malformed(format!("not a log record: {error}")))?;
    Ok(Record {
        time_unix_nano: record.time_unix_nano.0,
        observed_time_unix_nano: record.observed_time_unix_nano.0,
        severity_number: record.severity_number.0,
        severity_text: record.severity_text.into_bytes(),
        body: record.body.map(Any::Text),
        attributes: Attributes::Text(record.attributes),
        dropped_attributes_count: record.dropped_attributes_count.0,
        flags: record.flags.0,
        trace_id: record.trace_id.0.to_ascii_lowercase(),
        span_id: record.span_id.0.to_ascii_lowercase(),
        event_name: record.event_name.into_bytes(),
    })
}

/// Calls `take` for each element of an array, none of which is kept.
fn elements<'a, E>(
    array: Option<&'a RawValue>,
    mut take: impl FnMut(&'a RawValue) -> Result<(), ReadError<E>>,
) -> Result<(), ReadError<E>> {
    struct Elements<'t, F, E> {
        take: F,
        ended: &'t mut Option<ReadError<E>>,
    }
    impl<'a, F: FnMut(&'a RawValue) -> Result<(), ReadError<E>>, E> Visitor<'a> for Elements<'_, F, E> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'a>>(mut self, mut elements: A) -> Result<(), A::Error> {
            while let Some(element) = elements.next_element()? {
                if let Err(error) = (self.take)(element) {
                    *self.ended = Some(error);
                    return Err(de::Error::custom("ended"));
                }
            }
            Ok(())
        }
    }
    let Some(array) = array else { return Ok(()) };
    let mut ended = None;
    let read = serde_json::Deserializer::from_str(array.get())
        .deserialize_seq(Elements { take: &mut take, ended: &mut ended });
    match ended {
        Some(error) => Err(error),
        None => read.map_err(malformed),
    }
}

/// A string; `null` is an empty one.
#[derive(Debug, Clone, Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'a> Text<'a> {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        match self.0 {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A whole number: as such, or as a string; `null` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Integer<T>(pub(super) T);

impl<'de, T: TryFrom<i128> + Default> Deserialize<'de> for Integer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntegerVisitor;
        impl Visitor<'_> for IntegerVisitor {
            type Value = i128;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or a string of one")
            }

            fn visit_u64<E>(self, number: u64) -> Result<i128, E> {
                Ok(number.into())
            }

            fn visit_i64<E>(self, number: i64) -> Result<i128, E> {
                Ok(number.into())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<i128, E> {
                let whole = crate::json::whole(number).map(i128::from);
                whole.ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<i128, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_unit<E>(self) -> Result<i128, E> {
                Ok(0)
            }
        }
        let number = deserializer.deserialize_any(IntegerVisitor)?;
        T::try_from(number).map(Self).map_err(|_| de::Error::custom(format!("{number} is out of range")))
    }
}
