//! Facilities, severities, and the severity of a message.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A facility with its number (RFC 5424, table 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Facility {
    Kern = 0,
    #[default]
    User = 1,
    Mail = 2,
    Daemon = 3,
    Auth = 4,
    Syslog = 5,
    Lpr = 6,
    News = 7,
    Uucp = 8,
    Cron = 9,
    Authpriv = 10,
    Ftp = 11,
    Local0 = 16,
    Local1 = 17,
    Local2 = 18,
    Local3 = 19,
    Local4 = 20,
    Local5 = 21,
    Local6 = 22,
    Local7 = 23,
}

/// A severity with its number (RFC 5424, table 2): smaller is more severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Emerg = 0,
    Alert = 1,
    Crit = 2,
    Err = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

/// The severity of each class of responses, and the threshold for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Severities {
    /// Less severe messages are not sent.
    pub log_level: Severity,
    /// Severity of responses below 400, and of sessions without a response.
    pub successful_severity: Severity,
    /// Severity of responses from 400 to 499.
    pub client_errors_severity: Severity,
    /// Severity of responses of 500 and above.
    pub server_errors_severity: Severity,
}

impl Severities {
    /// The severity of a message with this status; `None` if `log_level` filters it. A message without a status (an L4
    /// session, or one whose custom fields removed it) is a success.
    pub fn severity(&self, status: Option<f64>) -> Option<Severity> {
        let severity = match status {
            Some(status) if status >= 500.0 => self.server_errors_severity,
            Some(status) if status >= 400.0 => self.client_errors_severity,
            _ => self.successful_severity,
        };
        (severity <= self.log_level).then_some(severity)
    }
}

/// The parts of a message that its header depends on, read from its JSON. A member of another type than Kong's counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HeaderFields {
    /// `response.status`.
    pub status: Option<f64>,
    /// The end of the transaction, when Kong logs it, in milliseconds since 1970: `started_at` plus `latencies.request`
    /// (`latencies.session` for an L4 session).
    pub ended: Option<f64>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    latencies: Option<&'a RawValue>,
    #[serde(borrow)]
    started_at: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Latencies<'a> {
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(borrow)]
    session: Option<&'a RawValue>,
}

impl HeaderFields {
    /// Reads the fields from a message.
    pub fn read(message: &[u8]) -> Self {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(message) else { return Self::default() };
        let status = parse::<Response<'_>>(message.response).and_then(|response| parse(response.status));
        let spent = parse::<Latencies<'_>>(message.latencies).and_then(|spent| {
            let [request, session] = [spent.request, spent.session].map(parse::<f64>);
            request.or(session)
        });
        let ended = parse::<f64>(message.started_at).map(|started| started + spent.unwrap_or(0.0).max(0.0));
        Self { status, ended }
    }
}

fn parse<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}
