//! The queues and dead letters of a data directory, for `logphase queue`: list, show, replay, salvage and drop, while the
//! service runs or is stopped.

mod live;
mod name;
mod salvage;
mod stopped;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::name::QueueName;
pub use self::salvage::Salvage;
pub use self::stopped::StoppedQueues;
use super::dead_letter::{DeadLetter, DeadLetterInfo};
use logphase_queue::{Disposition, Record, RecordStore};

/// A queue, or dead letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueInfo {
    /// Its name: `KIND-ID`, or `dead-letters/KIND-ID`.
    pub name: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's id, if it is known.
    pub id: Option<String>,
    /// The plugin's instance name, if it is known.
    pub instance_name: Option<String>,
    /// Its state.
    pub state: QueueState,
    /// Whether it is on disk.
    pub on_disk: bool,
    /// The number of messages.
    pub messages: u64,
    /// How many of them are sent and not confirmed.
    #[serde(default)]
    pub unconfirmed: u64,
    /// Bytes of the messages, approximately.
    pub bytes: u64,
    /// The age of the oldest message in seconds, if it is known.
    pub oldest_seconds: Option<f64>,
    /// The last error.
    pub last_error: Option<String>,
    /// Files in its folder that are damaged or belong elsewhere, and were set aside.
    #[serde(default)]
    pub set_aside: SetAsideLevel,
}

/// The number and size of files that were set aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAsideLevel {
    /// Their number.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The state of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// Messages are delivered.
    Delivering,
    /// Delivery fails, and is retried.
    Failing,
    /// Its plugin was removed or changed; the remaining messages are being delivered.
    Retiring,
    /// Its plugin is not in the configuration; nothing is delivered.
    Orphaned,
    /// The service is stopped.
    Stopped,
    /// Messages that were refused permanently.
    DeadLetters,
}

impl QueueInfo {
    /// Whether there is something that an operator may look for.
    fn has_something(&self) -> bool {
        self.messages > 0 || self.set_aside.files > 0
    }
}

impl QueueState {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivering => "delivering",
            Self::Failing => "failing",
            Self::Retiring => "retiring",
            Self::Orphaned => "orphaned",
            Self::Stopped => "stopped",
            Self::DeadLetters => "dead letters",
        }
    }
}

/// A page of messages.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Messages to skip, from the oldest.
    pub offset: u64,
    /// Maximum number of messages.
    pub limit: u64,
}

/// Selects messages that meet all conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Messages with these ids.
    pub ids: Option<Vec<u64>>,
    /// Messages whose reason contains this.
    pub reason: Option<String>,
    /// Maximum number of messages, from the oldest.
    pub limit: Option<u64>,
}

/// A message of a queue, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Shown {
    /// Its id in the queue.
    pub id: u64,
    /// When it was refused, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<u64>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The message, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<Box<RawValue>>,
    /// The message, if it is other text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// The message in Base64, if it is not text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base64: Option<String>,
}

/// The error of a command.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// There is no such queue, or no such plugin.
    #[error("{0}")]
    NotFound(String),
    /// The command is not possible; with a remedy.
    #[error("{0}")]
    Refused(String),
    /// The disk fails.
    #[error("{0}")]
    Disk(#[from] io::Error),
}

/// The result of a replay or a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Messages that were replayed or dropped.
    pub messages: u64,
    /// Messages that remain.
    pub left: u64,
}

impl Shown {
    fn of(id: u64, info: Option<DeadLetterInfo>, message: &Bytes) -> Self {
        let (time, reason) = info.map_or((None, None), |info| (Some(info.time), Some(info.reason)));
        let mut shown = Self { id, time, reason, message: None, text: None, base64: None };
        if let Ok(json) = serde_json::from_slice(message) {
            shown.message = Some(json);
        } else if let Ok(text) = std::str::from_utf8(message) {
            shown.text = Some(text.to_owned());
        } else {
            use base64::Engine;
            shown.base64 = Some(base64::engine::general_purpose::STANDARD.encode(message));
        }
        shown
    }

    /// A message of a record, which is a dead letter if `dead`.
    fn of_record(record: &Record, dead: bool) -> Self {
        match DeadLetter::decode(&record.payload).filter(|_| dead) {
            Some(DeadLetter { info, message }) => Self::of(info.id, Some(info), &message),
            None => Self::of(record.seq, None, &record.payload),
        }
    }
}

impl Selection {
    /// Returns the decision about each record, in order.
    fn decide(&self, dead: bool) -> impl FnMut(&Record) -> Disposition {
        let mut left = self.limit.unwrap_or(u64::MAX);
        move |record| {
            let letter = DeadLetter::decode(&record.payload).filter(|_| dead);
            let id = letter.as_ref().map_or(record.seq, |letter| letter.info.id);
            let reason = letter.as_ref().map_or("", |letter| letter.info.reason.as_str());
            let wanted = self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
                && self.reason.as_ref().is_none_or(|part| reason.contains(part.as_str()));
            if !wanted || left == 0 {
                return Disposition::Keep;
            }
            left -= 1;
            Disposition::Take
        }
    }
}

/// The messages of records, which are dead letters if `dead`.
fn messages(records: &[Record], dead: bool) -> Vec<Bytes> {
    let message = |record: &Record| match DeadLetter::decode(&record.payload).filter(|_| dead) {
        Some(letter) => letter.message,
        None => record.payload.clone(),
    };
    records.iter().map(message).collect()
}

/// Reads a page of messages.
fn page(records: &mut RecordStore, page: Page, dead: bool) -> io::Result<Vec<Shown>> {
    let (mut at, end) = records.range();
    let (mut skip, mut shown) = (page.offset, Vec::new());
    while at < end && (shown.len() as u64) < page.limit {
        let (read, next) = records.read(at, usize::MAX)?;
        at = next;
        for record in read {
            if skip > 0 {
                skip -= 1;
            } else if (shown.len() as u64) < page.limit {
                shown.push(Shown::of_record(&record, dead));
            }
        }
    }
    Ok(shown)
}

/// Describes the records of a queue.
fn info(name: &QueueName, records: &RecordStore, state: QueueState) -> QueueInfo {
    QueueInfo {
        name: name.to_string(),
        plugin: name.plugin().to_owned(),
        id: None,
        instance_name: None,
        state,
        on_disk: true,
        messages: records.len(),
        unconfirmed: 0,
        bytes: records.bytes(),
        oldest_seconds: records.oldest().and_then(|time| time.elapsed().ok()).as_ref().map(Duration::as_secs_f64),
        last_error: None,
        set_aside: salvage::level(records.folder()),
    }
}
