//! Facilities and severities, and which severity a message has.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Where messages come from, with its number (RFC 5424, table 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Facility {
    /// The kernel.
    Kern = 0,
    /// Programs of users.
    #[default]
    User = 1,
    /// Mail.
    Mail = 2,
    /// Daemons.
    Daemon = 3,
    /// Logins.
    Auth = 4,
    /// The syslog daemon itself.
    Syslog = 5,
    /// Printers.
    Lpr = 6,
    /// Network news.
    News = 7,
    /// UUCP.
    Uucp = 8,
    /// Scheduled jobs.
    Cron = 9,
    /// Logins, not for everybody's eyes.
    Authpriv = 10,
    /// File transfer.
    Ftp = 11,
    /// For local use, as the following.
    Local0 = 16,
    /// See [`Facility::Local0`].
    Local1 = 17,
    /// See [`Facility::Local0`].
    Local2 = 18,
    /// See [`Facility::Local0`].
    Local3 = 19,
    /// See [`Facility::Local0`].
    Local4 = 20,
    /// See [`Facility::Local0`].
    Local5 = 21,
    /// See [`Facility::Local0`].
    Local6 = 22,
    /// See [`Facility::Local0`].
    Local7 = 23,
}

/// How urgent a message is, with its number (RFC 5424, table 2): the more urgent, the less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The system is unusable.
    Emerg = 0,
    /// Something must be done at once.
    Alert = 1,
    /// Critical.
    Crit = 2,
    /// An error.
    Err = 3,
    /// A warning.
    Warning = 4,
    /// Normal and significant.
    Notice = 5,
    /// Information.
    Info = 6,
    /// For debugging.
    Debug = 7,
}

/// The severity of each class of responses, and the least that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Levels {
    /// What is less urgent than this is not sent.
    pub log_level: Severity,
    /// Severity of responses below 400, and of sessions without a response.
    pub successful_severity: Severity,
    /// Severity of responses from 400 to 499.
    pub client_errors_severity: Severity,
    /// Severity of responses of 500 and above.
    pub server_errors_severity: Severity,
}

impl Levels {
    /// The severity of a message with this status; `None` if it is not to be sent. A message without a status (an L4
    /// session, or one whose custom fields took it away) is a success.
    pub fn severity(&self, status: Option<f64>) -> Option<Severity> {
        let severity = match status {
            Some(status) if status >= 500.0 => self.server_errors_severity,
            Some(status) if status >= 400.0 => self.client_errors_severity,
            _ => self.successful_severity,
        };
        (severity <= self.log_level).then_some(severity)
    }
}

/// What of a message is told in the header. Read from its bytes; what is not as Kong has it counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Facts {
    /// `response.status`.
    pub status: Option<f64>,
    /// When the transaction ended, which is when Kong logs it, in milliseconds since 1970: `started_at` and
    /// `latencies.request` (of an L4 session `latencies.session`).
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

impl Facts {
    /// Those of a message.
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
