//! The events of a queue that wait to be logged.

use crate::{QueueEvent, ReserveError};

/// Events that are kept for a reader that does not collect them, at most.
const MAX_EVENTS: usize = 16;

/// Events that wait to be logged, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Events(Vec<QueueEvent>);

impl Events {
    /// Adds an event. It is lost if too many wait.
    pub fn push(&mut self, event: QueueEvent) {
        if self.0.len() < MAX_EVENTS {
            self.0.push(event);
        }
    }

    /// Adds a refusal because of `reason` that drops `more` messages; refusals for one reason are one event.
    pub fn push_refusal(&mut self, reason: ReserveError, more: u64) {
        let of_kind = self.0.iter_mut().find_map(|event| match event {
            QueueEvent::Refused { error, refusals, dropped } if *error == reason => Some((refusals, dropped)),
            _ => None,
        });
        match of_kind {
            Some((refusals, _)) if more == 0 => *refusals += 1,
            Some((_, dropped)) => *dropped += more,
            None => {
                self.push(QueueEvent::Refused { error: reason, refusals: u64::from(more == 0), dropped: more });
            }
        }
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all.
    pub fn take(&mut self) -> Vec<QueueEvent> {
        std::mem::take(&mut self.0)
    }
}
