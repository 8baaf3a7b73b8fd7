//! What is shown, and what keys do to it.

use std::time::Duration;

use super::rows::{Row, Sort, rows};
use super::status::Status;

/// A status with when it came, in milliseconds since 1970.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub status: Status,
    pub at: u64,
}

/// What a key asks for.
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

/// Everything that is on the screen.
#[derive(Debug, Default)]
pub(super) struct View {
    pub source: String,
    pub last: Option<Seen>,
    before: Option<Seen>,
    /// Why there is no newer one.
    pub error: Option<String>,
    pub sort: Sort,
    pub paused: bool,
    pub details: bool,
    pub help: bool,
    /// What the selected row is known by: it stays selected wherever it moves.
    selected: Option<(String, String)>,
}

impl View {
    pub(super) fn new(source: String) -> Self {
        Self { source, ..Self::default() }
    }

    /// Takes a newer status, or why there is none.
    pub(super) fn update(&mut self, news: Result<Seen, String>) {
        if self.paused {
            return;
        }
        match news {
            Ok(seen) => {
                self.error = None;
                // Of another process nothing can be compared.
                let same = |last: &Seen| last.status.started_at == seen.status.started_at;
                self.before = self.last.take().filter(same);
                self.last = Some(seen);
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// Does what a key asks for; whether to go on.
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

    /// The table.
    pub(super) fn rows(&self) -> Vec<Row> {
        let Some(last) = &self.last else { return Vec::new() };
        rows(&last.status, self.earlier().map(|(seen, time)| (&seen.status, time)), self.sort)
    }

    /// The status before the last, and how long before.
    pub(super) fn earlier(&self) -> Option<(&Seen, Duration)> {
        let (last, before) = (self.last.as_ref()?, self.before.as_ref()?);
        Some((before, Duration::from_millis(last.at.saturating_sub(before.at))))
    }

    /// Which of `rows` is selected.
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
