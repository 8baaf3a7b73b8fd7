//! Named points at which a process kills itself, for tests of what a crash leaves behind.
//!
//! The variable [`VARIABLE`] arms them: `after-write`, or `after-write:3` for the third time that the point is reached;
//! several are separated by commas. The process then ends by SIGKILL, in the middle of what it does, as it would by the
//! kernel's hand. They are compiled in only with `debug_assertions`, so that the tests, which use the development build,
//! need no build of their own and the release binary has nothing of it: there, the variable is unknown and refused.
//!
//! Worker threads may not send signals; no point is on their way.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that arms points.
pub const VARIABLE: &str = "LOGPHASE_FAILPOINTS";

macro_rules! points {
    ($($(#[doc = $doc:literal])* $point:ident = $name:literal,)*) => {
        /// A place in the program.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[doc = $doc])* $point,)*
        }

        impl Point {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$point),*];

            /// As the variable calls it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// A queue was opened with what another process left; nothing was written yet.
    Opened = "opened",
    /// Entries were taken from the input, and not written.
    BeforeWrite = "before-write",
    /// Entries were written, and not synced.
    AfterWrite = "after-write",
    /// A new segment has its header, and neither it nor its name was synced.
    SegmentCreated = "segment-created",
    /// A new segment was synced, its name was not.
    SegmentSynced = "segment-synced",
    /// A segment is full and was synced; the next one is not there yet.
    Rotation = "rotation",
    /// Entries were synced, and not answered for.
    AfterSync = "after-sync",
    /// Entries were answered for.
    Answered = "answered",
    /// The cursor was written, and not synced.
    CursorWritten = "cursor-written",
    /// A new cursor has its name, which was not synced.
    CursorRenamed = "cursor-renamed",
    /// The cursor was synced; segments before it are still there.
    CursorSaved = "cursor-saved",
    /// A segment is about to be removed.
    BeforeUnlink = "before-unlink",
    /// A segment was removed; the directory was not synced.
    AfterUnlink = "after-unlink",
    /// A sink has taken or delivered entries, and the queue does not know it.
    BeforeCommit = "before-commit",
    /// A message that was refused for good is kept among the dead letters, and still in the queue.
    DeadLetterKept = "dead-letter-kept",
    /// Messages are where they were moved to, and still where they were.
    Moved = "moved",
    /// What was in the second of a plugin's queues is in the first as well.
    Merged = "merged",
    /// Kills nothing: entries are answered for before they are written. For the test that the tests would see it.
    AnswerBeforeWrite = "answer-before-write",
}

/// Ends the process here if `point` is armed and its time has come.
#[cfg(debug_assertions)]
pub fn reach(point: Point) {
    if let Some(armed) = armed().iter().find(|armed| armed.point == point)
        && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal may need a moment; nothing after this point may happen.
        loop {
            std::thread::park();
        }
    }
}

/// Ends the process here if `point` is armed and its time has come: never, in this build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn reach(_: Point) {}

/// Whether a fault that kills nothing is to be made.
#[cfg(debug_assertions)]
pub fn is_planted(point: Point) -> bool {
    armed().iter().any(|armed| armed.point == point)
}

/// Whether `name` is the variable, and this build knows it.
pub fn is_variable(name: &str) -> bool {
    cfg!(debug_assertions) && name == VARIABLE
}

/// A point that is armed, and how often it is still to be reached.
#[cfg(debug_assertions)]
struct Armed {
    point: Point,
    left: AtomicU32,
}

#[cfg(debug_assertions)]
fn armed() -> &'static [Armed] {
    static ARMED: std::sync::OnceLock<Vec<Armed>> = std::sync::OnceLock::new();
    ARMED.get_or_init(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        text.split(',').filter(|part| !part.is_empty()).filter_map(parse).collect()
    })
}

#[cfg(debug_assertions)]
fn parse(text: &str) -> Option<Armed> {
    let (name, count) = text.split_once(':').unwrap_or((text, "1"));
    let point = Point::ALL.iter().copied().find(|point| point.name() == name);
    let count = count.parse().ok().filter(|&count| count > 0);
    if point.is_none() || count.is_none() {
        tracing::error!("{VARIABLE}: `{text}` is no fault point with a count");
    }
    Some(Armed { point: point?, left: AtomicU32::new(count?) })
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    /// Scenario: points with and without a count, and what is none.
    /// Guarantees: each is read as it is meant, names are unique, and what is none arms nothing.
    #[test]
    fn points_are_armed_by_name() {
        let read = |text| parse(text).map(|armed| (armed.point, armed.left.load(Ordering::SeqCst)));
        assert_eq!(read("after-write"), Some((Point::AfterWrite, 1)));
        assert_eq!(read("before-unlink:7"), Some((Point::BeforeUnlink, 7)));
        for none in ["after", "after-write:", "after-write:0", "after-write:x"] {
            assert_eq!(read(none), None, "{none}");
        }
        let names: std::collections::BTreeSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
