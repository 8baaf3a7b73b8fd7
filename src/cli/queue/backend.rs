//! Access to the queues: through the running service, or in the data directory if no service runs.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::api::ReplayRequest;
use crate::cli::control::{ControlClient, ControlError};
use crate::delivery::inventory::{
    InventoryError, Moved, Page, QueueInfo, QueueName, Salvage, Selection, Shown, StoppedQueues,
};

/// The queues of a data directory.
pub(super) enum QueueBackend {
    /// Accessed through the service that owns it.
    Live(ControlClient),
    /// Opened by this process.
    Stopped(StoppedQueues),
}

/// Why an operation on a queue failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackendError {
    /// The request to the service failed.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The queues refused the operation, or the disk failed.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The service has a different protocol.
    #[error("cannot parse the answer of the service ({0}): use the version of logphase that the service runs")]
    Answer(#[from] serde_json::Error),
}

impl QueueBackend {
    /// Opens the queues in `data_dir`, and lists them.
    pub(super) async fn open(data_dir: &Path) -> Result<(Self, Vec<QueueInfo>), BackendError> {
        let client = ControlClient::new(data_dir);
        match client.get("/queues").await {
            Ok(known) => Ok((Self::Live(client), serde_json::from_value(known)?)),
            Err(ControlError::NotRunning(_)) => {
                let queues = StoppedQueues::claim(data_dir)?;
                let known = queues.list()?;
                Ok((Self::Stopped(queues), known))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a service owns the queues.
    pub(super) fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    pub(super) async fn show(&self, name: &QueueName, page: Page) -> Result<Vec<Shown>, BackendError> {
        match self {
            Self::Live(client) => {
                let Page { offset, limit } = page;
                let path = path(name, &format!("?offset={offset}&limit={limit}"));
                // Parsed from text, not from a `Value`: messages keep their bytes.
                Ok(serde_json::from_str(&client.text(&path).await?)?)
            }
            Self::Stopped(queues) => Ok(queues.show(name, page)?),
        }
    }

    /// Resolves the target `to`. The service resolves names itself; without one, this is the folder of the queue.
    pub(super) fn target(&self, to: Option<&str>, known: &[QueueInfo]) -> Result<Option<String>, BackendError> {
        let Some(to) = to else { return Ok(None) };
        if self.is_live() {
            return Ok(Some(to.to_owned()));
        }
        // An empty queue is not listed, but can be a target.
        Ok(Some(QueueName::find(to, known).map_or_else(|_| to.to_owned(), |name| name.folder)))
    }

    pub(super) async fn replay(
        &self,
        name: &QueueName,
        selection: Selection,
        to: Option<String>,
    ) -> Result<Moved, BackendError> {
        match self {
            Self::Live(client) => {
                let body = serde_json::to_value(ReplayRequest { selection, to })?;
                Ok(serde_json::from_value(client.post(&path(name, "/replay"), &body).await?)?)
            }
            Self::Stopped(queues) => Ok(queues.replay(name, &selection, to.as_deref())?),
        }
    }

    pub(super) async fn salvage(&self, name: &QueueName) -> Result<Vec<Salvage>, BackendError> {
        match self {
            Self::Live(client) => {
                Ok(serde_json::from_value(client.post(&path(name, "/salvage"), &Value::Null).await?)?)
            }
            Self::Stopped(queues) => Ok(queues.salvage(name)?),
        }
    }

    pub(super) async fn drop_messages(&self, name: &QueueName, selection: Selection) -> Result<Moved, BackendError> {
        match self {
            Self::Live(client) => {
                let body: Value = json!(selection);
                Ok(serde_json::from_value(client.post(&path(name, "/drop"), &body).await?)?)
            }
            Self::Stopped(queues) => Ok(queues.drop_messages(name, &selection)?),
        }
    }
}

fn path(name: &QueueName, rest: &str) -> String {
    format!("/queues/{}{rest}", utf8_percent_encode(&name.to_string(), NON_ALPHANUMERIC))
}
