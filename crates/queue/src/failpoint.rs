//! Failpoints: places at which a process kills itself, for tests of crashes.
//!
//! The variable [`VARIABLE`] enables them: `after-write`, or `after-write:3` for the third time that the point is reached;
//! several are separated by commas. The process then ends with SIGKILL, as if the kernel had killed it. Failpoints exist only
//! with `debug_assertions`: the tests use the development build, and the release binary refuses the variable as unknown.
//!
//! Worker threads must not send signals; they reach no failpoint.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that enables failpoints.
pub const VARIABLE: &str = "LOGPHASE_FAILPOINTS";

macro_rules! points {
    ($($(#[doc = $doc:literal])* $point:ident = $name:literal,)*) => {
        /// A failpoint.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[doc = $doc])* $point,)*
        }

        impl Point {
            /// All failpoints.
            pub const ALL: &[Self] = &[$(Self::$point),*];

            /// The name in the variable.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// A queue was opened and recovered; nothing is written yet.
    Opened = "opened",
    /// Entries were appended, and not written.
    BeforeWrite = "before-write",
    /// Entries were written, and not synced.
    AfterWrite = "after-write",
    /// A new segment has its header; neither the file nor its name was synced.
    SegmentCreated = "segment-created",
    /// A new segment was synced; its name was not.
    SegmentSynced = "segment-synced",
    /// A segment is full and was synced; the next one does not exist yet.
    Rotation = "rotation",
    /// Entries were synced, and not acknowledged.
    AfterSync = "after-sync",
    /// Entries were acknowledged.
    Answered = "answered",
    /// The cursor was written, and not synced.
    CursorWritten = "cursor-written",
    /// A new cursor was renamed; the directory was not synced.
    CursorRenamed = "cursor-renamed",
    /// The cursor was synced; the segments before it still exist.
    CursorSaved = "cursor-saved",
    /// A segment is about to be removed.
    BeforeUnlink = "before-unlink",
    /// A segment was removed; the directory was not synced.
    AfterUnlink = "after-unlink",
    /// A sink has delivered entries; they are not committed.
    BeforeCommit = "before-commit",
    /// A refused message was stored as a dead letter, and is still in the queue.
    DeadLetterKept = "dead-letter-kept",
    /// Messages were moved, and still exist where they were.
    Moved = "moved",
    /// The second queue of a plugin was copied into the first, and still exists.
    Merged = "merged",
    /// Kills nothing, but acknowledges entries before they are written: a test checks that the crash tests would notice.
    AnswerBeforeWrite = "answer-before-write",
}

/// Kills the process if `point` is enabled and was reached often enough.
#[cfg(debug_assertions)]
pub fn reach(point: Point) {
    if let Some(enabled) = enabled().iter().find(|enabled| enabled.point == point)
        && enabled.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal may take a moment, in which nothing more may happen.
        loop {
            std::thread::park();
        }
    }
}

/// Does nothing in this build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn reach(_: Point) {}

/// Whether a failpoint that kills nothing is enabled.
#[cfg(debug_assertions)]
pub fn is_enabled(point: Point) -> bool {
    enabled().iter().any(|enabled| enabled.point == point)
}

/// Whether the process is killed when `point` is reached the next time.
#[cfg(debug_assertions)]
pub fn is_next(point: Point) -> bool {
    enabled().iter().any(|enabled| enabled.point == point && enabled.left.load(Ordering::SeqCst) == 1)
}

/// Whether `name` is [`VARIABLE`] in a build with failpoints.
pub fn is_variable(name: &str) -> bool {
    cfg!(debug_assertions) && name == VARIABLE
}

/// An enabled failpoint, and how often it has to be reached.
#[cfg(debug_assertions)]
struct Enabled {
    point: Point,
    left: AtomicU32,
}

#[cfg(debug_assertions)]
fn enabled() -> &'static [Enabled] {
    static ENABLED: std::sync::OnceLock<Vec<Enabled>> = std::sync::OnceLock::new();
    ENABLED.get_or_init(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        text.split(',').filter(|part| !part.is_empty()).filter_map(parse).collect()
    })
}

#[cfg(debug_assertions)]
fn parse(text: &str) -> Option<Enabled> {
    let (name, count) = text.split_once(':').unwrap_or((text, "1"));
    let point = Point::ALL.iter().copied().find(|point| point.name() == name);
    let count = count.parse().ok().filter(|&count| count > 0);
    if point.is_none() || count.is_none() {
        tracing::error!("{VARIABLE}: `{text}` is not a failpoint with a count");
    }
    Some(Enabled { point: point?, left: AtomicU32::new(count?) })
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    /// Scenario: failpoints with and without a count, and text that is none.
    /// Guarantees: each is read with its count, names are unique, and other text enables nothing.
    #[test]
    fn points_are_enabled_by_name() {
        let read = |text| parse(text).map(|enabled| (enabled.point, enabled.left.load(Ordering::SeqCst)));
        assert_eq!(read("after-write"), Some((Point::AfterWrite, 1)));
        assert_eq!(read("before-unlink:7"), Some((Point::BeforeUnlink, 7)));
        for none in ["after", "after-write:", "after-write:0", "after-write:x"] {
            assert_eq!(read(none), None, "{none}");
        }
        let names: std::collections::BTreeSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
