//! The conditions, in the order in which they matter. A test holds them against observability/alerts.yml.

use std::time::Duration;

use logphase_io::count::counted;

use super::window::{FIVE_MINUTES, TEN_MINUTES, Window};
use super::{Facts, Found, Place, Severity};
use crate::api::DatabaseStats;
use crate::delivery::PluginStats;
use crate::input::Reason;

/// A condition, and what to say if it holds.
pub(super) struct Alert {
    /// The alert rule with the same condition.
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) title: &'static str,
    /// What docs/operations.md says to do.
    pub(super) help: &'static str,
    /// What it finds.
    pub(super) find: fn(&Facts<'_>) -> Vec<Found>,
}

/// Age of the oldest message from which on a queue is old.
const OLD: Duration = Duration::from_secs(300);
/// Part of a bound from which on a queue is nearly full.
const NEARLY_FULL: f64 = 0.8;
/// One sync in so many may be slow.
const SLOW_ONE_IN: u64 = 100;

pub(super) const ALERTS: &[Alert] = &[
    Alert {
        name: "LogphaseDown",
        severity: Severity::Error,
        title: "The service does not answer",
        help: "The end of its log has the cause. What was acknowledged and is in queues on disk is delivered when it is up again.",
        // A service that is down finds nothing: the page itself notices that nothing answers it.
        find: |_| Vec::new(),
    },
    Alert {
        name: "LogphaseNotReady",
        severity: Severity::Error,
        title: "No transactions are accepted",
        help: "If it is the disk, free space or repair it; the service continues by itself. If it is stopping, it delivers for at \
               most shutdown_timeout.",
        find: |facts| facts.sample.not_ready.iter().map(|why| Found::of_service(why.clone())).collect(),
    },
    Alert {
        name: "LogphaseDiskFailing",
        severity: Severity::Error,
        title: "The disk cannot be written or read",
        help: "The log has the system's error. If the disk is full, free space or grow it: the service retries every few seconds and \
               continues by itself. On an input/output error, repair the disk before you restart: messages that could not be synced \
               are still in memory.",
        find: |facts| {
            let failing = facts.sample.plugins.iter().filter_map(|stats| match stats {
                PluginStats { unwritable: true, .. } => {
                    Some((stats, "its queue cannot be written, and nothing more is accepted for it"))
                }
                PluginStats { unreadable: true, .. } => {
                    Some((stats, "its queue cannot be read, and nothing is delivered"))
                }
                _ => None,
            });
            failing.map(|(stats, text)| Found::of_plugin(stats, text)).collect()
        },
    },
    Alert {
        name: "LogphaseQueueRefusing",
        severity: Severity::Error,
        title: "A full queue refuses transactions",
        help: "Senders get 429 or 503 and wait, and no other plugin gets these transactions either. Repair the destination, or raise \
               the bound that the log names. If other plugins matter more than this one, set plugins.NAME.queue.required: false.",
        find: |facts| {
            of_plugins(
                facts,
                |windows| windows.refused.within(facts.windows.step, FIVE_MINUTES),
                |_, number| format!("refused {} in the last five minutes", counted(number, "request")),
            )
        },
    },
    Alert {
        name: "LogphaseQueueNearlyFull",
        severity: Severity::Error,
        title: "A queue is nearly full",
        help: "At the bound, senders get 429 and connections are not read. Repair the destination; if the disk has room, raise \
               queue.max_disk_bytes (by a reload) and queue.max_data_bytes (by a restart). Set overflow: drop_oldest only if new messages \
               matter more than old ones.",
        find: nearly_full,
    },
    Alert {
        name: "LogphaseMessagesDropped",
        severity: Severity::Error,
        title: "Messages were dropped",
        help: "They did not arrive and will not. The reason names the rule: an option that you set (overflow, expired, script, body), a \
               damaged disk (corrupt), or a limit of datagrams (lost, oversize).",
        find: dropped,
    },
    Alert {
        name: "LogphaseTransactionsLost",
        severity: Severity::Error,
        title: "Transactions were lost at an input",
        help: "Datagrams arrived while the queues were full, or the service stopped with lines that it had read. Use HTTP for \
               transactions that must not be lost.",
        find: |facts| {
            let lost = facts
                .windows
                .inputs
                .iter()
                .map(|(name, windows)| (*name, windows.lost.within(facts.windows.step, TEN_MINUTES)));
            let text = |number| format!("{} in the last ten minutes", counted(number, "transaction"));
            of_inputs(lost.map(|(name, number)| (name, number, text(number))))
        },
    },
    Alert {
        name: "LogphaseConservationBroken",
        severity: Severity::Error,
        title: "The message counts do not add up",
        help: "This is a bug in Logphase: please report it with /metrics and the log.",
        find: |facts| {
            let broken = facts
                .sample
                .plugins
                .iter()
                .filter_map(|stats| Some((stats, unaccounted(stats).filter(|number| *number != 0)?)));
            broken
                .map(|(stats, number)| Found::of_plugin(stats, format!("{number} messages are not accounted for")))
                .collect()
        },
    },
    Alert {
        name: "LogphasePluginFailing",
        severity: Severity::Warning,
        title: "A destination does not accept messages",
        help: "Nothing is lost: messages wait and are sent in order when the destination is back. If the configuration has a wrong \
               password or address, correct it: what waits is sent with the new one.",
        find: |facts| {
            let failing = facts.sample.plugins.iter().filter(|stats| stats.failing);
            failing
                .map(|stats| {
                    let error = stats.last_error.as_ref().map_or("no reason was given", |error| &error.message);
                    let waiting = counted(stats.counters.unsettled(), "message");
                    Found::of_plugin(
                        stats,
                        format!("every attempt fails: {error}; {waiting} in the queue{}", oldest(stats)),
                    )
                })
                .collect()
        },
    },
    Alert {
        name: "LogphaseQueueOld",
        severity: Severity::Warning,
        title: "Messages wait for a long time",
        help: "The destination fails, or is slower than the traffic. Use more connections (concurrency_limit: -1 for http-log, which \
               gives up order), larger batches (max_batch_size), compression, or a faster destination.",
        find: |facts| {
            let old = facts.sample.plugins.iter().filter(|stats| stats.oldest.is_some_and(|age| age > OLD));
            old.map(|stats| {
                Found::of_plugin(
                    stats,
                    format!("{} in the queue{}", counted(stats.counters.unsettled(), "message"), oldest(stats)),
                )
            })
            .collect()
        },
    },
    Alert {
        name: "LogphaseDeadLetters",
        severity: Severity::Warning,
        title: "A destination refuses messages for good",
        help: "They are kept as dead letters. Fix the cause (a schema, a size limit), then resend or drop them under Queues. When their \
               space is used up, the plugin's queue stops rather than lose one.",
        find: |facts| {
            let dead = facts.sample.plugins.iter().filter(|stats| stats.dead.letters > 0);
            dead.map(|stats| Found::of_plugin(stats, counted(stats.dead.letters, "dead letter"))).collect()
        },
    },
    Alert {
        name: "LogphaseLuaErrors",
        severity: Severity::Warning,
        title: "A snippet fails",
        help: "The messages of some transactions are sent without the field. The log has the line and the error. Try such a transaction \
               in the playground, and make a test of it.",
        find: |facts| {
            of_snippets(
                facts,
                |snippet| &snippet.errors,
                FIVE_MINUTES,
                |field, number| format!("`{field}` failed {} in the last five minutes", times(number)),
            )
        },
    },
    Alert {
        name: "LogphaseLuaStopped",
        severity: Severity::Warning,
        title: "A snippet runs out of its budget",
        help: "The messages are sent without the field. Times are processor time, so the load of the machine is not the cause: look at \
               the snippet, and at the transactions on which it is slow.",
        find: |facts| {
            of_snippets(
                facts,
                |snippet| &snippet.stopped,
                TEN_MINUTES,
                |field, number| format!("`{field}` was stopped or left out {} in the last ten minutes", times(number)),
            )
        },
    },
    Alert {
        name: "LogphaseTransactionsRejected",
        severity: Severity::Warning,
        title: "An input rejects transactions",
        help: "The reason gives the cause: malformed means that the sender sends invalid data, full that queues are full. The log shows \
               examples with their sender.",
        find: rejected,
    },
    Alert {
        name: "LogphaseSyncSlow",
        severity: Severity::Warning,
        title: "The disk is slow",
        help: "Senders wait for a sync before they are answered. Something else writes to this disk, or it is a throttled network disk. \
               sync: interval removes the wait, at a price.",
        find: |facts| {
            let within = |window: &Window| window.within(facts.windows.step, FIVE_MINUTES);
            let (all, slow) = (within(&facts.windows.syncs), within(&facts.windows.slow_syncs));
            let text = || format!("{slow} of {all} syncs in the last five minutes took more than half a second");
            (slow * SLOW_ONE_IN > all).then(|| Found::of_service(text())).into_iter().collect()
        },
    },
    Alert {
        name: "LogphaseReloadRefused",
        severity: Severity::Warning,
        title: "The newest configuration was refused",
        help: "The previous one stays active. logphase check FILE shows every mistake with its place.",
        find: |facts| facts.sample.reload_error.iter().map(|error| Found::of_service(error.clone())).collect(),
    },
    Alert {
        name: "LogphaseDatabaseUnreachable",
        severity: Severity::Warning,
        title: "The database cannot be used",
        help: "The service goes on with the configuration that it has; only changes have to wait. Bring the database back. Do not \
               restart nodes meanwhile: one without a copy of the configuration waits for the database.",
        find: |facts| {
            let why = facts.sample.database.iter().filter_map(|(_, why)| why.clone());
            why.map(Found::of_service).collect()
        },
    },
    Alert {
        name: "LogphaseDatabaseRevisionRefused",
        severity: Severity::Warning,
        title: "The configuration in the database was refused",
        help: "It has something that this node cannot use: a file, a certificate or a variable that only this machine lacks, or a plugin \
               that its version does not know. Repair it on this machine, or take the change back.",
        find: |facts| {
            let old = facts.sample.database.iter().filter(|(stats, _)| stats.active < stats.revision);
            old.map(|(stats, _)| {
                let why = stats.refused.as_deref().unwrap_or("see the log");
                Found::of_service(format!("revision {} is active instead of {}: {why}", stats.active, stats.revision))
            })
            .collect()
        },
    },
    Alert {
        name: "LogphaseDatabaseBehind",
        severity: Severity::Warning,
        title: "Other nodes have a newer configuration",
        help: "Compare the database settings of the nodes: this one cannot reach the database, or is connected to another one.",
        // One node does not know what others have: only Prometheus compares them.
        find: |_| Vec::new(),
    },
    Alert {
        name: "LogphaseDatabaseCopyOld",
        severity: Severity::Warning,
        title: "The copy of the configuration is old",
        help: "entities-copy.db in the data directory cannot be written: the log has the error, usually a full disk or the owner of the \
               file. Until then, a start without the database begins with the older configuration.",
        find: |facts| {
            let old = facts.sample.database.iter().filter(|(stats, _)| stats.copied < stats.active);
            let text = |stats: &DatabaseStats| format!("it has revision {} instead of {}", stats.copied, stats.active);
            old.map(|(stats, _)| Found::of_service(text(stats))).collect()
        },
    },
    Alert {
        name: "LogphaseOrphanedQueue",
        severity: Severity::Warning,
        title: "A queue belongs to no plugin",
        help: "Its plugin was removed, or has a new id, and nothing delivers its messages. Put the plugin back, or resend or drop them \
               under Queues.",
        find: |facts| {
            let orphans = facts.sample.disk.orphans;
            let text = || format!("{} on the disk", counted(orphans, "queue"));
            (orphans > 0).then(|| Found::of_service(text())).into_iter().collect()
        },
    },
    Alert {
        name: "LogphaseFilesSetAside",
        severity: Severity::Warning,
        title: "Damaged files were set aside",
        help: "Their messages are not delivered. Queues names them; salvage puts back what is intact. Check the disk.",
        find: |facts| {
            let files = facts.sample.disk.set_aside;
            let text = || format!("{} of queues or dead letters", counted(files, "file"));
            (files > 0).then(|| Found::of_service(text())).into_iter().collect()
        },
    },
];

fn times(number: u64) -> String {
    logphase_io::count::times(number)
}

/// How old the oldest message is, if there is one.
fn oldest(stats: &PluginStats) -> String {
    stats
        .oldest
        .filter(|age| age.as_secs() > 0)
        .map(|age| format!(", the oldest for {}", duration(age)))
        .unwrap_or_default()
}

/// A time in its largest whole unit.
fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds < 120 => counted(seconds, "second"),
        seconds if seconds < 7200 => counted(seconds / 60, "minute"),
        seconds if seconds < 172_800 => counted(seconds / 3600, "hour"),
        seconds => counted(seconds / 86_400, "day"),
    }
}

/// Messages that are neither delivered, waiting, dropped nor dead letters.
fn unaccounted(stats: &PluginStats) -> Option<i64> {
    let counters = &stats.counters;
    let dropped: u64 = stats.dropped_by_reason().into_iter().map(|(_, number)| number).sum();
    let number = |value: u64| i64::try_from(value).ok();
    let came = number(counters.appended)?.checked_add(number(counters.recovered)?)?;
    let went = number(counters.delivered)?
        + number(counters.depth as u64)?
        + number(dropped)?
        + number(counters.dead_letters)?;
    came.checked_sub(went)
}

/// What plugins are found for whose `number` is above 0.
fn of_plugins(
    facts: &Facts<'_>,
    number: impl Fn(&super::window::OfPlugin) -> u64,
    text: impl Fn(&PluginStats, u64) -> String,
) -> Vec<Found> {
    let counted = facts.sample.plugins.iter().filter_map(|stats| {
        let number = number(facts.windows.plugins.get(&stats.identity)?);
        (number > 0).then(|| Found::of_plugin(stats, text(stats, number)))
    });
    counted.collect()
}

fn of_inputs(counted: impl Iterator<Item = (&'static str, u64, String)>) -> Vec<Found> {
    let mut found: Vec<_> = counted.filter(|(_, number, _)| *number > 0).collect();
    found.sort_by_key(|(name, ..)| *name);
    let found = found
        .into_iter()
        .map(|(name, _, text)| Found { place: Some(Place::Input(name)), text: format!("{name}: {text}") });
    found.collect()
}

/// What plugins are found for, of which a snippet's window has grown in the last `steps`.
fn of_snippets(
    facts: &Facts<'_>,
    window: fn(&super::window::OfSnippet) -> &Window,
    steps: u64,
    text: impl Fn(&str, u64) -> String,
) -> Vec<Found> {
    let programs = facts.sample.generation.iter().flat_map(|generation| &generation.program.steps);
    let found = programs.filter_map(|step| {
        let windows = facts.windows.snippets.get(&step.id)?;
        let grown = step
            .parts
            .iter()
            .zip(windows)
            .map(|(part, windows)| (part, window(windows).within(facts.windows.step, steps)));
        let texts: Vec<String> =
            grown.filter(|(_, number)| *number > 0).map(|(part, number)| text(&part.name(), number)).collect();
        let place = Some(Place::Plugin(step.id.clone()));
        (!texts.is_empty()).then(|| Found { place, text: format!("{}: {}", step.label, texts.join("; ")) })
    });
    found.collect()
}

fn nearly_full(facts: &Facts<'_>) -> Vec<Found> {
    let part = |used: usize, max: usize| used as f64 / max as f64;
    let percent = |part: f64| format!("{:.0} % full", part * 100.0);
    let queues = facts.sample.plugins.iter().filter_map(|stats| {
        let part = part(stats.counters.unsettled_bytes(), stats.max_bytes.filter(|_| stats.configured)?);
        (part > NEARLY_FULL).then(|| Found::of_plugin(stats, format!("its queue is {}", percent(part))))
    });
    let all = ["memory for all queues (queue.max_memory)", "disk for all queues (queue.max_data_bytes)"];
    let all = all.into_iter().zip(facts.sample.budgets).filter_map(|(what, (used, max))| {
        let part = part(used, max);
        (part > NEARLY_FULL).then(|| Found::of_service(format!("the {what} is {}", percent(part))))
    });
    queues.chain(all).collect()
}

fn dropped(facts: &Facts<'_>) -> Vec<Found> {
    let found = facts.sample.plugins.iter().filter_map(|stats| {
        let windows = facts.windows.plugins.get(&stats.identity)?;
        let by_reason = stats.dropped_by_reason().into_iter().zip(&windows.dropped);
        let lately = by_reason.map(|((reason, _), window)| (reason, window.within(facts.windows.step, TEN_MINUTES)));
        let texts: Vec<String> = lately
            .filter(|(reason, number)| *number > 0 && *reason != "operator")
            .map(|(reason, number)| format!("{} ({reason})", counted(number, "message")))
            .collect();
        (!texts.is_empty()).then(|| Found::of_plugin(stats, format!("{} in the last ten minutes", texts.join(", "))))
    });
    found.collect()
}

fn rejected(facts: &Facts<'_>) -> Vec<Found> {
    let of_input = facts.windows.inputs.iter().map(|(name, windows)| {
        let by_reason = Reason::ALL.into_iter().zip(&windows.rejected);
        // A service that stops, and a daemon that says something of itself, are no faults of a sender.
        let by_reason = by_reason.filter(|(reason, _)| !matches!(reason, Reason::ShuttingDown | Reason::NotJson));
        let lately = by_reason.map(|(reason, window)| (reason.name(), window.within(facts.windows.step, FIVE_MINUTES)));
        let lately: Vec<_> = lately.filter(|(_, number)| *number > 0).collect();
        let texts: Vec<String> = lately.iter().map(|(reason, number)| format!("{number} {reason}")).collect();
        let text = format!("rejected in the last five minutes: {}", texts.join(", "));
        (*name, lately.iter().map(|(_, number)| number).sum(), text)
    });
    of_inputs(of_input)
}
