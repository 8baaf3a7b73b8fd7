//! What a producer's callbacks report: deliveries of records, and errors of its connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{self, Cause};

/// Bits of a record's opaque that are the number of its message. Those above are the id of its handle.
const NUMBER_BITS: u32 = 48;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// The delivery report of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The number that the record was sent with.
    pub number: u64,
    /// Why it is not delivered.
    pub error: Option<RDKafkaErrorCode>,
}

/// The delivery reports of one handle that have not been taken yet.
#[derive(Debug, Default)]
pub struct DeliveryReports {
    reports: Mutex<Vec<DeliveryReport>>,
    notify: Notify,
}

impl DeliveryReports {
    /// Takes all reports.
    pub fn take(&self) -> Vec<DeliveryReport> {
        std::mem::take(&mut *self.reports.lock())
    }

    /// Waits for a report since the last call, or for an outage.
    pub async fn notified(&self) {
        self.notify.notified().await;
    }
}

/// An error of the connection to the cluster or to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionError {
    /// librdkafka's code.
    pub code: RDKafkaErrorCode,
    /// librdkafka's message.
    pub reason: String,
    /// When it was last reported.
    pub at: Instant,
    /// Nothing can be delivered while it lasts.
    pub outage: bool,
}

/// The connection errors since the last delivery.
#[derive(Default)]
struct ConnectionErrors {
    cause: Cause,
    current: Option<ConnectionError>,
}

/// Receives the events of a producer and passes them on to its handles.
#[derive(Default)]
pub struct Events {
    /// Opaques and errors of reports that have not been distributed yet.
    incoming: Mutex<Vec<(usize, Option<RDKafkaErrorCode>)>>,
    /// The reports of each handle, by its id.
    handles: RwLock<HashMap<u16, Arc<DeliveryReports>>>,
    errors: Mutex<ConnectionErrors>,
    broken: AtomicBool,
}

impl Events {
    /// Adds a handle and returns its id, or nothing if all ids are taken.
    pub(super) fn register(&self, reports: Arc<DeliveryReports>) -> Option<u16> {
        let mut handles = self.handles.write();
        let id = (0..u16::MAX).find(|id| !handles.contains_key(id))?;
        handles.insert(id, reports);
        Some(id)
    }

    /// Removes the handle `id`. Reports that come for it later are dropped.
    pub(super) fn unregister(&self, id: u16) {
        self.handles.write().remove(&id);
    }

    /// The opaque of the record `number` of the handle `id`.
    pub(super) fn opaque(id: u16, number: u64) -> usize {
        const { assert!(usize::BITS == 64, "a number and an id fit into an opaque") };
        (usize::from(id) << NUMBER_BITS) | (number & NUMBER_MASK) as usize
    }

    /// Passes the reports on to their handles. Returns whether there were any.
    pub(super) fn distribute(&self) -> bool {
        let incoming = std::mem::take(&mut *self.incoming.lock());
        if incoming.is_empty() {
            return false;
        }
        if incoming.iter().any(|(_, error)| error.is_none()) {
            *self.errors.lock() = ConnectionErrors::default();
        }
        let handles = self.handles.read();
        for run in incoming.chunk_by(|a, b| a.0 >> NUMBER_BITS == b.0 >> NUMBER_BITS) {
            let Some(reports) = handles.get(&((run[0].0 >> NUMBER_BITS) as u16)) else { continue };
            let report = |&(opaque, error): &(usize, Option<RDKafkaErrorCode>)| DeliveryReport {
                number: opaque as u64 & NUMBER_MASK,
                error,
            };
            reports.reports.lock().extend(run.iter().map(report));
            reports.notify.notify_one();
        }
        true
    }

    /// The last connection error since the last delivery.
    pub fn connection_error(&self) -> Option<ConnectionError> {
        self.errors.lock().current.clone()
    }

    /// Records a connection error, and wakes the handles if nothing can be delivered while it lasts.
    pub fn record_error(&self, code: RDKafkaErrorCode, reason: &str) {
        let outage = error::is_outage(code);
        {
            let mut errors = self.errors.lock();
            let (code, reason) = errors.cause.of(code, reason);
            let outage = outage || errors.current.as_ref().is_some_and(|current| current.outage);
            errors.current = Some(ConnectionError { code, reason, at: Instant::now(), outage });
        }
        if outage {
            self.handles.read().values().for_each(|reports| reports.notify.notify_one());
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(super) fn mark_broken(&self) {
        self.broken.store(true, Ordering::Release);
    }
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "kafka client: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = code_of(&error);
        if code == RDKafkaErrorCode::Fatal {
            self.mark_broken();
        }
        self.record_error(code, reason);
    }
}

impl ProducerContext for Events {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let error = result.as_ref().err().map(|(error, _)| code_of(error));
        self.incoming.lock().push((opaque, error));
    }
}

/// librdkafka's code of an error.
pub fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)
}
