//! The state of the screen, and how keys change it.

use std::time::Duration;

use super::rows::{Row, Sort, rows};
use super::status::Status;

/// A status, and when it was received, in milliseconds since 1970.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub status: Status,
    pub at: u64,
}

/// The action of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    Up,
    Down,
    Details,
    Back,
    Pause,
    Sort,
    Help,
}

/// The state of the screen.
#[derive(Debug, Default)]
pub(super) struct View {
    pub source: String,
    pub last: Option<Snapshot>,
    before: Option<Snapshot>,
    /// Why the last request failed.
    pub error: Option<String>,
    pub sort: Sort,
    pub paused: bool,
    pub details: bool,
    pub help: bool,
    /// The key of the selected row, which stays selected when it moves.
    selected: Option<(String, String)>,
}

impl View {
    pub(super) fn new(source: String) -> Self {
        Self { source, ..Self::default() }
    }

    /// Stores a new status, or why the request failed. Ignored while paused.
    pub(super) fn update(&mut self, result: Result<Snapshot, String>) {
        if self.paused {
            return;
        }
        match result {
            Ok(snapshot) => {
                self.error = None;
                // The counters of a restarted service cannot be compared.
                let same = |last: &Snapshot| last.status.started_at == snapshot.status.started_at;
                self.before = self.last.take().filter(same);
                self.last = Some(snapshot);
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// Performs the action of a key. Returns whether to continue.
    pub(super) fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Quit => return false,
            Action::Up => self.select(-1),
            Action::Down => self.select(1),
            Action::Details => self.details = !self.details,
            Action::Back if self.help => self.help = false,
            Action::Back => self.details = false,
            Action::Pause => self.paused = !self.paused,
            Action::Sort => self.sort = self.sort.next(),
            Action::Help => self.help = !self.help,
        }
        true
    }

    /// The rows of the table.
    pub(super) fn rows(&self) -> Vec<Row> {
        let Some(last) = &self.last else { return Vec::new() };
        rows(&last.status, self.earlier().map(|(snapshot, time)| (&snapshot.status, time)), self.sort)
    }

    /// The status before the last one, and the time between both.
    pub(super) fn earlier(&self) -> Option<(&Snapshot, Duration)> {
        let (last, before) = (self.last.as_ref()?, self.before.as_ref()?);
        Some((before, Duration::from_millis(last.at.saturating_sub(before.at))))
    }

    /// The index of the selected row.
    pub(super) fn selected(&self, rows: &[Row]) -> usize {
        let key = self.selected.as_ref();
        key.and_then(|key| rows.iter().position(|row| row.key == *key)).unwrap_or_default()
    }

    fn select(&mut self, by: isize) {
        let rows = self.rows();
        let at = self.selected(&rows).saturating_add_signed(by).min(rows.len().saturating_sub(1));
        self.selected = rows.get(at).map(|row| row.key.clone());
    }
}
