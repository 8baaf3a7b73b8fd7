//! Messages in the formats of RFC 5424 and RFC 3164.
//!
//! The time in the header is Kong's time of logging: the end of the transaction, computed from the message. It does not
//! depend on the time spent in the queue, and a message that is sent twice is the same each time. Only a message without
//! this time gets the time of sending.

use std::fmt::Write;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::severity::{Facility, HeaderFields, Severities, Severity};
use crate::sink::line_format::LineFormat;

/// The format of the time in the header. In RFC 5424 a version precedes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    /// RFC 5424: UTC, with milliseconds.
    Milliseconds,
    /// RFC 5424: UTC, in whole seconds.
    Seconds,
    /// RFC 3164: local time, in whole seconds, without a year.
    Old,
}

/// The constant parts of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    timestamp_format: TimestampFormat,
    // Ends with the space before the message.
    rest: String,
}

/// Length limit of HOSTNAME (RFC 5424, 6).
const MAX_HOST: usize = 255;
/// Length limit of APP-NAME (RFC 5424, 6).
const MAX_NAME: usize = 48;
/// Length limit of TAG (RFC 3164, 4.1.3).
const MAX_TAG: usize = 32;

impl Header {
    /// `1 TIMESTAMP HOST APP-NAME PROCID - -`.
    pub fn rfc5424(host: &str, ident: &str) -> Self {
        let (host, name) = (name(host, MAX_HOST, ""), name(ident, MAX_NAME, ""));
        let process = std::process::id();
        Self { timestamp_format: TimestampFormat::Milliseconds, rest: format!("{host} {name} {process} - - ") }
    }

    /// `TIMESTAMP HOST TAG[PID]:`; without a host it is the form that the C library's `syslog` sends to the local
    /// daemon.
    pub fn rfc3164(host: Option<&str>, ident: &str) -> Self {
        let host = host.map(|host| name(host, MAX_HOST, "") + " ").unwrap_or_default();
        let (tag, process) = (name(ident, MAX_TAG, ":[]"), std::process::id());
        Self { timestamp_format: TimestampFormat::Old, rest: format!("{host}{tag}[{process}]: ") }
    }

    /// `1 TIMESTAMP HOST kong - - [KEY@41058 tag="..."]`, the format that Loggly expects.
    pub fn loggly(host: &str, key: &str, tags: &[String]) -> Self {
        // Loggly's keys are longer than RFC 5424 allows (32 characters with the number).
        let (host, key) = (name(host, MAX_HOST, ""), name(key, usize::MAX, "=]\""));
        let mut rest = format!("{host} kong - - [{key}@41058");
        for tag in tags {
            let _ = write!(rest, " tag=\"{}\"", escaped(tag));
        }
        rest.push_str("] ");
        Self { timestamp_format: TimestampFormat::Seconds, rest }
    }
}

/// Adds headers to messages.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// Determines the severity of a message.
    pub severities: Severities,
    /// The facility of all messages.
    pub facility: Facility,
    /// The rest of the header.
    pub header: Header,
    /// The line that follows it instead of the entry.
    pub(super) line: Option<LineFormat>,
}

impl Encoder {
    /// The entry with its header; `None` if its severity is below `log_level`.
    pub fn encode(&self, entry: &Bytes) -> Option<Bytes> {
        let fields = HeaderFields::read(entry);
        let severity = self.severities.severity(fields.status)?;
        let header = self.header(severity, fields.ended);
        let entry = self.line.as_ref().map_or_else(|| entry.clone(), |format| format.line(entry));
        let mut line = Vec::with_capacity(header.len() + entry.len());
        line.extend_from_slice(header.as_bytes());
        line.extend_from_slice(&entry);
        Some(line.into())
    }

    /// The line that follows the header in the place of `entry`, if there is one.
    pub(super) fn line(&self, entry: &Bytes) -> Option<Bytes> {
        self.line.as_ref().map(|format| format.line(entry))
    }

    fn header(&self, severity: Severity, ended: Option<f64>) -> String {
        let mut header = String::with_capacity(self.header.rest.len() + 40);
        let _ = write!(header, "<{}>", (self.facility as u8) * 8 + severity as u8);
        let at = ended.and_then(timestamp).unwrap_or_else(Timestamp::now);
        let zone =
            if self.header.timestamp_format == TimestampFormat::Old { TimeZone::system() } else { TimeZone::UTC };
        write_time(&mut header, self.header.timestamp_format, zone.to_datetime(at));
        header.push(' ');
        header.push_str(&self.header.rest);
        header
    }
}

/// A moment between 1970 and 9999, in milliseconds.
fn timestamp(milliseconds: f64) -> Option<Timestamp> {
    const LAST: f64 = 253_402_300_799_999.0;
    let sound = (0.0..=LAST).contains(&milliseconds);
    sound.then(|| Timestamp::from_millisecond(milliseconds as i64).ok()).flatten()
}

fn write_time(header: &mut String, timestamp_format: TimestampFormat, at: DateTime) {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second) =
        (at.year(), at.month(), at.day(), at.hour(), at.minute(), at.second());
    let _ = match timestamp_format {
        TimestampFormat::Old => {
            let month = MONTHS[usize::from(month.unsigned_abs() - 1) % 12];
            write!(header, "{month} {day:2} {hour:02}:{minute:02}:{second:02}")
        }
        TimestampFormat::Seconds => {
            write!(header, "1 {year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        }
        TimestampFormat::Milliseconds => {
            let millisecond = at.millisecond();
            write!(header, "1 {year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
        }
    };
}

/// `text` as a name in a header: at most `max_length` characters, `_` for each forbidden one, `-` for an empty text.
fn name(text: &str, max_length: usize, excluded: &str) -> String {
    let sound = |c: char| if c.is_ascii_graphic() && !excluded.contains(c) { c } else { '_' };
    let name: String = text.chars().take(max_length).map(sound).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// `text` escaped as the value of a parameter (RFC 5424, 6.3.3).
fn escaped(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\\' | ']') {
            value.push('\\');
        }
        value.push(c);
    }
    value
}

/// The host name of this machine.
pub fn local_hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
