//! The lines that snippets log, kept in memory.

use std::fmt::{self, Write};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Bounds of what is kept.
const MAX_LINES: usize = 1000;
const MAX_BYTES: usize = 256 << 10;

/// The targets of the events that lines of snippets, and limits on them, are.
const OF_SNIPPETS: [&str; 2] = ["script", "logphase_script::host::log"];

/// The log of the process.
static INSTALLED: OnceLock<Logged> = OnceLock::new();

/// The lines so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Logged(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    bytes: usize,
    left_out: usize,
}

impl Logged {
    /// Keeps what snippets log in this process, if it has no other log.
    pub(super) fn install() {
        let logged = Self::default();
        if tracing_subscriber::registry().with(logged.clone()).try_init().is_ok() {
            let _ = INSTALLED.set(logged);
        }
    }

    /// What is kept; nothing is, before [`Self::install`].
    pub(super) fn installed() -> Self {
        INSTALLED.get().cloned().unwrap_or_default()
    }

    /// The lines, in their order.
    pub(super) fn take(&self) -> Vec<String> {
        let Lines { mut lines, left_out, .. } = std::mem::take(&mut *self.0.lock());
        if left_out > 0 {
            lines.push(format!("[and {left_out} more]"));
        }
        lines
    }
}

impl<S: Subscriber> Layer<S> for Logged {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !OF_SNIPPETS.contains(&event.metadata().target()) {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let text = match line.plugin {
            Some(plugin) => format!("[{level}] {plugin}: {}", line.message),
            None => format!("[{level}] {}", line.message),
        };
        let mut kept = self.0.lock();
        if kept.lines.len() < MAX_LINES && kept.bytes + text.len() <= MAX_BYTES {
            kept.bytes += text.len();
            kept.lines.push(text);
        } else {
            kept.left_out += 1;
        }
    }
}

/// The parts of an event that are shown.
#[derive(Default)]
struct Line {
    plugin: Option<String>,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => drop(write!(self.message, "{value:?}")),
            "plugin" => self.plugin = Some(format!("{value:?}")),
            "dropped" => drop(write!(self.message, " ({value:?} lines)")),
            _ => {}
        }
    }
}
