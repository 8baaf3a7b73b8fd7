//! A log record, and what it belongs to.

use std::borrow::Cow;
use std::cell::OnceCell;

use bytes::Bytes;

use super::RecordError;
use super::value::{Any, Attributes, Scope, Values};

/// The resource and the scope of records.
#[derive(Debug, Default)]
pub struct Group<'a> {
    resource: Attributes<'a>,
    scope: Scope<'a>,
    members: OnceCell<Result<Vec<u8>, RecordError>>,
}

/// `opentelemetry.proto.logs.v1.LogRecord`.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    pub(super) time_unix_nano: u64,
    pub(super) observed_time_unix_nano: u64,
    pub(super) severity_number: i64,
    pub(super) severity_text: Cow<'a, [u8]>,
    pub(super) body: Option<Any<'a>>,
    pub(super) attributes: Attributes<'a>,
    pub(super) dropped_attributes_count: u64,
    pub(super) flags: u64,
    /// Hexadecimal.
    pub(super) trace_id: String,
    /// Hexadecimal.
    pub(super) span_id: String,
    pub(super) event_name: Cow<'a, [u8]>,
}

impl<'a> Group<'a> {
    pub(super) fn new(resource: Attributes<'a>, scope: Scope<'a>) -> Self {
        Self { resource, scope, members: OnceCell::new() }
    }

    /// The members `resource` and `scope` of the JSON of each record of the group, of at most `max_bytes`. They are written
    /// once.
    ///
    /// # Errors
    /// One of their values cannot be read.
    pub fn members(&self, max_bytes: usize) -> Result<&[u8], RecordError> {
        match self.members.get_or_init(|| self.write(max_bytes)) {
            Ok(members) => Ok(members),
            Err(error) => Err(error.clone()),
        }
    }

    fn write(&self, max_bytes: usize) -> Result<Vec<u8>, RecordError> {
        let mut out = Vec::new();
        let mut values = Values::new(&mut out, max_bytes);
        values.json.open_member("resource");
        values.attributes(&self.resource)?;
        values.json.close(b'}');
        if let Some(scope) = self.scope.open(&mut values)? {
            values.json.open_member("attributes");
            values.attributes(&scope)?;
            values.json.close(b'}');
            values.json.close(b'}');
        }
        Ok(out)
    }
}

impl Record<'_> {
    /// The record as one JSON object, of at most `max_bytes`: `time_unix_nano`, `observed_time_unix_nano`,
    /// `severity_number`, `severity_text`, `event_name`, `trace_id`, `span_id`, `flags`, `dropped_attributes_count` (each
    /// unless it is empty or 0), `body`, `attributes`, and `group`, the members of [`Group::members`].
    ///
    /// # Errors
    /// A value cannot be read.
    pub fn object(&self, group: &[u8], max_bytes: usize) -> Result<Vec<u8>, RecordError> {
        let mut out = Vec::with_capacity((group.len() + 1024).min(max_bytes));
        let mut values = Values::new(&mut out, max_bytes);
        values.json.begin();
        for (name, number) in [
            ("time_unix_nano", self.time_unix_nano),
            ("observed_time_unix_nano", self.observed_time_unix_nano),
            ("dropped_attributes_count", self.dropped_attributes_count),
            ("flags", self.flags),
        ] {
            if number != 0 {
                values.json.number_member(name, number);
            }
        }
        if self.severity_number != 0 {
            values.json.number_member("severity_number", self.severity_number);
        }
        values.json.text_member("severity_text", &self.severity_text);
        values.json.text_member("event_name", &self.event_name);
        values.json.text_member("trace_id", self.trace_id.as_bytes());
        values.json.text_member("span_id", self.span_id.as_bytes());
        if let Some(body) = &self.body {
            values.json.name("body");
            values.any(body)?;
        }
        values.json.open_member("attributes");
        values.attributes(&self.attributes)?;
        values.json.close(b'}');
        if !group.is_empty() {
            values.json.separate();
            values.raw(group)?;
        }
        values.json.close(b'}');
        values.check()?;
        Ok(out)
    }

    /// The text of the body, where that is JSON: a string's, or that of a map, of at most `max_bytes`.
    ///
    /// # Errors
    /// The body is missing, of another type, or cannot be read.
    pub fn body_text(&self, max_bytes: usize) -> Result<Bytes, RecordError> {
        let body = self.body.as_ref().ok_or_else(|| RecordError::malformed("the record has no body"))?;
        if let Some(text) = body.plain_text() {
            return Ok(text);
        }
        let mut out = Vec::new();
        let mut values = Values::new(&mut out, max_bytes);
        values.any(body)?;
        values.check()?;
        match out.first() {
            Some(b'{') => Ok(out.into()),
            Some(b'"') => {
                let text: String = serde_json::from_slice(&out).map_err(RecordError::malformed)?;
                Ok(text.into())
            }
            _ => Err(RecordError::malformed("the body is neither a string nor a map")),
        }
    }
}
