//! The rows of the table, one per plugin and one per queue of a removed plugin, and their order.

use std::time::Duration;

use logphase_io::printable;

use super::status::{Queue, Status, label};

/// The state of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It delivers, or its queue is empty.
    Healthy,
    /// The last attempt failed and will be retried.
    Failing,
    /// Its queue cannot be written.
    NoDisk,
    /// It shares the queue of another plugin with the same destination.
    Shared,
    /// It sends nothing: a pre- or post-function.
    Silent,
    /// The queue of a removed plugin.
    Orphan,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "ok",
            Self::Failing => "failing",
            Self::NoDisk => "no disk",
            Self::Shared => "shared",
            Self::Silent => "-",
            Self::Orphan => "no plugin",
        }
    }

    pub(super) fn is_bad(self) -> bool {
        matches!(self, Self::Failing | Self::NoDisk | Self::Orphan)
    }
}

/// One row of the table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub label: String,
    /// The name and the id of the plugin, which identify the row.
    pub key: (String, String),
    pub state: State,
    pub queue: Option<Queue>,
    pub lua_errors: u64,
    /// The index of the plugin in the status; `None` for the queue of a removed plugin.
    pub plugin: Option<usize>,
    /// Messages per second, accepted and delivered.
    pub rates: Option<(f64, f64)>,
}

/// The sort order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    /// In execution order.
    #[default]
    Order,
    Waiting,
    Oldest,
    Rate,
    Errors,
}

impl Sort {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Order => Self::Waiting,
            Self::Waiting => Self::Oldest,
            Self::Oldest => Self::Rate,
            Self::Rate => Self::Errors,
            Self::Errors => Self::Order,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Order => "execution order",
            Self::Waiting => "messages waiting",
            Self::Oldest => "oldest message",
            Self::Rate => "messages accepted",
            Self::Errors => "Lua errors",
        }
    }
}

/// The rows of `status`, with rates if there is an earlier status.
pub(super) fn rows(status: &Status, before: Option<(&Status, Duration)>, sort: Sort) -> Vec<Row> {
    let plugins = status.plugins.iter().enumerate().map(|(at, plugin)| {
        let state = match &plugin.queue {
            None if plugin.name.ends_with("-function") => State::Silent,
            None => State::Shared,
            Some(queue) if !queue.writable => State::NoDisk,
            Some(queue) if queue.failing => State::Failing,
            Some(_) => State::Healthy,
        };
        Row {
            label: label(&plugin.name, plugin.instance_name.as_deref()),
            key: (plugin.name.clone(), plugin.id.clone()),
            state,
            queue: plugin.queue.clone(),
            lua_errors: plugin.snippets.iter().map(|snippet| snippet.errors).sum(),
            plugin: Some(at),
            rates: None,
        }
    });
    // Empty queues of removed plugins are left out.
    let others = status.other_queues.iter().filter(|other| other.queue.waiting > 0 || other.queue.dead_lettered > 0);
    let others = others.map(|other| Row {
        label: label(&other.name, other.instance_name.as_deref()),
        key: (other.name.clone(), other.id.clone()),
        state: if other.queue.failing { State::Failing } else { State::Orphan },
        queue: Some(other.queue.clone()),
        lua_errors: 0,
        plugin: None,
        rates: None,
    });
    let mut rows: Vec<Row> = plugins.chain(others).collect();
    if let Some((before, time)) = before {
        let earlier = self::rows(before, None, Sort::Order);
        for row in &mut rows {
            let queue_before = earlier.iter().find(|other| other.key == row.key).and_then(|other| other.queue.as_ref());
            row.rates = row.queue.as_ref().zip(queue_before).map(|(now, before)| {
                (rate(now.enqueued, before.enqueued, time), rate(now.delivered, before.delivered, time))
            });
        }
    }
    let of_queue = |row: &Row, value: fn(&Queue) -> f64| row.queue.as_ref().map_or(-1.0, value);
    let value = |row: &Row| match sort {
        Sort::Order => 0.0,
        Sort::Waiting => of_queue(row, |queue| queue.pending() as f64),
        Sort::Oldest => of_queue(row, |queue| queue.oldest_seconds.unwrap_or_default()),
        Sort::Rate => row.rates.map_or_else(|| of_queue(row, |queue| queue.enqueued as f64), |(taken, _)| taken),
        Sort::Errors => row.lua_errors as f64,
    };
    // The sort is stable: equal rows stay in execution order.
    rows.sort_by(|a, b| value(b).total_cmp(&value(a)));
    rows
}

/// The increase of a counter per second; 0 if a restart has reset the counter.
pub(super) fn rate(now: u64, before: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { now.saturating_sub(before) as f64 / time.as_secs_f64() }
}

/// A number in at most six characters, up to 999,999 million.
pub(super) fn number(value: f64) -> String {
    match value {
        value if value < 10.0 && value.fract() > 0.0 => format!("{value:.1}"),
        value if value < 10_000.0 => format!("{value:.0}"),
        value if value < 1e6 => format!("{:.1}k", value / 1e3),
        value if value < 1e9 => format!("{:.1}M", value / 1e6),
        value => format!("{:.1}G", value / 1e9),
    }
}

/// Bytes with a unit.
pub(super) fn bytes(value: u64) -> String {
    let value = value as f64;
    match value {
        value if value < 1024.0 => format!("{value:.0} B"),
        value if value < 1_048_576.0 => format!("{:.1} KiB", value / 1024.0),
        value if value < 1_073_741_824.0 => format!("{:.1} MiB", value / 1_048_576.0),
        value => format!("{:.1} GiB", value / 1_073_741_824.0),
    }
}

/// A duration in its largest unit, for a narrow column.
pub(super) fn age(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1.0 => format!("{:.0}ms", seconds * 1e3),
        seconds if seconds < 120.0 => format!("{seconds:.0}s"),
        seconds if seconds < 7200.0 => format!("{:.0}m", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0}h", seconds / 3600.0),
        seconds => format!("{:.0}d", seconds / 86_400.0),
    }
}

/// The duration of a snippet.
pub(super) fn short_time(seconds: f64) -> String {
    if seconds < 1e-3 { format!("{:.1} µs", seconds * 1e6) } else { format!("{:.2} ms", seconds * 1e3) }
}

/// Text of others, with hidden characters as escapes: a terminal could interpret them.
pub(super) fn sanitize(text: &str) -> String {
    printable::lines(text).into_owned()
}
