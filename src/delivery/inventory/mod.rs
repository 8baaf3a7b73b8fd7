//! What waits in a data directory, seen from outside: queues and dead letters, listed, shown, sent again and dropped. Of a
//! service that runs, and of one that does not.

mod live;
mod name;
mod stopped;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::name::QueueName;
pub use self::stopped::StoppedQueues;
use super::letter::{Letter, LetterHead};
use logphase_queue::{Archive, Fate, Record};

/// What holds messages, and how it fares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueInfo {
    /// What it is called by: `KIND-ID`, or `dead-letters/KIND-ID`.
    pub name: String,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's id, where it is known.
    pub id: Option<String>,
    /// The plugin's instance name, where it is known.
    pub instance_name: Option<String>,
    /// What goes on with it.
    pub state: QueueState,
    /// Whether it is on disk.
    pub on_disk: bool,
    /// Messages.
    pub messages: u64,
    /// Bytes of the messages, about.
    pub bytes: u64,
    /// Seconds that the oldest has waited, where that is known.
    pub oldest_seconds: Option<f64>,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

/// What goes on with a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// Messages are delivered as they come.
    Delivering,
    /// The destination does not take them now; they are tried again.
    Failing,
    /// Its plugin is not in the configuration any more; what is left is being delivered.
    Retiring,
    /// Its plugin is not there, and nothing is delivered.
    Orphaned,
    /// Nothing runs.
    Stopped,
    /// What was refused for good.
    DeadLetters,
}

impl QueueState {
    /// As it is shown.
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

/// Which messages are to be shown.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Messages to leave out, from the oldest.
    pub offset: u64,
    /// Messages at most.
    pub limit: u64,
}

/// Which messages are meant; all conditions hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Those with these ids.
    pub ids: Option<Vec<u64>>,
    /// Those with this in their reason.
    pub reason: Option<String>,
    /// So many at most, from the oldest.
    pub limit: Option<u64>,
}

/// A message of a queue, as it is shown.
#[derive(Debug, Serialize, Deserialize)]
pub struct Shown {
    /// What it is called by within its queue.
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
    /// The message in Base64, if it is no text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base64: Option<String>,
}

/// Why something cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// There is no such queue, or no such plugin.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done as asked; what to do.
    #[error("{0}")]
    Refused(String),
    /// The disk fails.
    #[error("{0}")]
    Disk(#[from] io::Error),
}

/// What was done with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Messages that were sent again, or dropped.
    pub messages: u64,
    /// Messages that are left.
    pub left: u64,
}

impl Shown {
    fn of(id: u64, head: Option<LetterHead>, message: &Bytes) -> Self {
        let (time, reason) = head.map_or((None, None), |head| (Some(head.time), Some(head.reason)));
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

    /// A record of an archive, of dead letters or not.
    fn of_record(record: &Record, dead: bool) -> Self {
        match Letter::decode(&record.payload).filter(|_| dead) {
            Some(Letter { head, message }) => Self::of(head.id, Some(head), &message),
            None => Self::of(record.seq, None, &record.payload),
        }
    }
}

impl Selection {
    /// A decision for each record in turn.
    fn judge(&self, dead: bool) -> impl FnMut(&Record) -> Fate {
        let mut left = self.limit.unwrap_or(u64::MAX);
        move |record| {
            let letter = Letter::decode(&record.payload).filter(|_| dead);
            let id = letter.as_ref().map_or(record.seq, |letter| letter.head.id);
            let reason = letter.as_ref().map_or("", |letter| letter.head.reason.as_str());
            let wanted = self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
                && self.reason.as_ref().is_none_or(|part| reason.contains(part.as_str()));
            if !wanted || left == 0 {
                return Fate::Keep;
            }
            left -= 1;
            Fate::Take
        }
    }
}

/// What is to be sent of records of dead letters, or of a queue.
fn messages(records: &[Record], dead: bool) -> Vec<Bytes> {
    let message = |record: &Record| match Letter::decode(&record.payload).filter(|_| dead) {
        Some(letter) => letter.message,
        None => record.payload.clone(),
    };
    records.iter().map(message).collect()
}

/// Messages of an archive.
fn page(archive: &mut Archive, page: Page, dead: bool) -> io::Result<Vec<Shown>> {
    let (mut at, end) = archive.range();
    let (mut skip, mut shown) = (page.offset, Vec::new());
    while at < end && (shown.len() as u64) < page.limit {
        let (records, next) = archive.read(at, usize::MAX)?;
        at = next;
        for record in records {
            if skip > 0 {
                skip -= 1;
            } else if (shown.len() as u64) < page.limit {
                shown.push(Shown::of_record(&record, dead));
            }
        }
    }
    Ok(shown)
}

/// What is known of an archive.
fn info(name: &QueueName, archive: &Archive, state: QueueState) -> QueueInfo {
    QueueInfo {
        name: name.to_string(),
        plugin: name.plugin().to_owned(),
        id: None,
        instance_name: None,
        state,
        on_disk: true,
        messages: archive.len(),
        bytes: archive.bytes(),
        oldest_seconds: archive.oldest().and_then(|time| time.elapsed().ok()).as_ref().map(Duration::as_secs_f64),
        last_error: None,
    }
}
