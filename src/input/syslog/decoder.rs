//! From a syslog message to transactions: its body, without what has none.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::decode::syslog::{self, Header};
use crate::decode::{Decode, DecodeError};
use crate::input::{Context, Counters, Reason};
use crate::log::limit::{Limiter, Policy};
use logphase_io::printable;
use logphase_script::transaction::Transaction;

/// Bytes of a header, at most; those of one with structured data are many.
const MAX_HEADER_BYTES: usize = 8 << 10;

/// Bytes of a message without JSON that the log shows.
const SHOWN_BYTES: usize = 200;

/// Decodes the bodies of messages with `D`.
///
/// A message without JSON is no mistake: nginx's error log and what daemons say of themselves may arrive at the same address.
/// Such messages are counted under a reason of their own, and one of them is logged now and then.
#[derive(Clone)]
pub(super) struct SyslogDecoder<D> {
    body: D,
    /// The member that gets the header.
    header_member: Option<Arc<str>>,
    input: &'static str,
    counters: Arc<Counters>,
    not_json: Arc<Limiter>,
}

impl<D> SyslogDecoder<D> {
    pub(super) fn new(body: D, header_member: Option<&str>, context: &Context) -> Self {
        let not_json = Arc::new(Limiter::new(Policy::ONE));
        let (input, counters) = (context.input(), context.counters().clone());
        Self { body, header_member: header_member.map(Arc::from), input, counters, not_json }
    }

    fn skip(&self, message: &[u8]) {
        self.counters.count_rejected(Reason::NotJson);
        if let Some(suppressed) = self.not_json.admit() {
            let text = printable::bytes(&message[..message.len().min(SHOWN_BYTES)]);
            tracing::warn!(input = self.input, text, suppressed, "syslog message without a JSON object not taken");
        }
    }
}

impl<D: Decode> Decode for SyslogDecoder<D> {
    fn decode(&self, frame: Bytes, transactions: &mut Vec<Transaction>) -> Result<(), DecodeError> {
        let message = syslog::parse(&frame);
        if !message.is_object() {
            self.skip(&frame);
            return Ok(());
        }
        let start = transactions.len();
        self.body.decode(frame.slice_ref(message.body), transactions)?;
        if let Some(name) = &self.header_member {
            let header = render(&message.header);
            for transaction in &mut transactions[start..] {
                if transaction.get(name).is_none() {
                    transaction.add_members(&[(name, &header)]);
                }
            }
        }
        Ok(())
    }

    fn max_frame_bytes(&self) -> usize {
        self.body.max_frame_bytes().saturating_add(MAX_HEADER_BYTES)
    }
}

/// The header as JSON, without the parts that are missing.
fn render(header: &Header<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Member<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        facility: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        severity: Option<&'static str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        timestamp: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        hostname: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        app_name: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        proc_id: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        msg_id: &'a str,
    }
    let Header { timestamp, hostname, app_name, proc_id, msg_id, .. } = *header;
    let [timestamp, hostname, app_name, proc_id, msg_id] =
        [timestamp, hostname, app_name, proc_id, msg_id].map(String::from_utf8_lossy);
    let (facility, severity) = (header.facility(), header.severity());
    let member = Member {
        facility,
        severity,
        timestamp: &timestamp,
        hostname: &hostname,
        app_name: &app_name,
        proc_id: &proc_id,
        msg_id: &msg_id,
    };
    serde_json::to_vec(&member).expect("texts are JSON")
}
