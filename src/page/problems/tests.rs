//! Tests of the table of problems.

use std::time::Duration;

use super::table::ALERTS;
use super::window::{FIVE_MINUTES, TEN_MINUTES};
use super::{Problems, Severity, Windows};
use crate::api::DatabaseStats;
use crate::delivery::PluginStats;
use crate::page::figures::Sample;
use crate::page::figures::tests::sample_of;

/// Scenario: the alert rules of observability/, and the problems that the page shows. Guarantees: they are the same, with the same severity, and
/// each says what to do.
#[test]
fn the_page_shows_what_alerts_tell() {
    let rules = include_str!("../../../observability/alerts.yml");
    let mut of_rules: Vec<(&str, &str)> = rules
        .split("- alert: ")
        .skip(1)
        .map(|rule| {
            let severity = rule.split("severity: ").nth(1).and_then(|rest| rest.split('}').next());
            (rule.lines().next().unwrap_or_default().trim(), severity.unwrap_or_default())
        })
        .collect();
    let severity = |severity| match severity {
        Severity::Error => "critical",
        Severity::Warning => "warning",
    };
    let mut of_page: Vec<(&str, &str)> = ALERTS.iter().map(|alert| (alert.name, severity(alert.severity))).collect();
    of_rules.sort_unstable();
    of_page.sort_unstable();
    assert_eq!(of_page, of_rules);
    for alert in ALERTS {
        assert!(alert.title.len() > 10 && alert.help.len() > 20 && alert.help.ends_with('.'), "{}", alert.name);
    }
}

/// A database with this revision, of which this one is active, and this one in the copy.
fn database(revision: u64, active: u64, copied: u64) -> DatabaseStats {
    DatabaseStats { is_reachable: true, revision, active, copied, failures: 0, refused: None }
}

/// The names of the problems of `sample`, in step number `step`.
fn found(problems: &mut Problems, windows: &mut Windows, step: u64, sample: &Sample) -> Vec<&'static str> {
    windows.see(step, sample);
    problems.find(sample, windows, step * 1000).0.iter().map(|problem| problem.alert).collect()
}

/// Scenario: a healthy service, and one change for each condition that figures alone decide. Guarantees: the healthy one has no problem; each
/// change is exactly the problem that its alert rule tells.
#[test]
fn each_condition() {
    type Change = fn(&mut Sample, &mut PluginStats);
    let cases: [(&str, Change); 17] = [
        ("LogphaseNotReady", |sample, _| sample.not_ready = Some("starting".to_owned())),
        ("LogphaseDiskFailing", |_, stats| stats.unwritable = true),
        ("LogphaseDiskFailing", |_, stats| stats.unreadable = true),
        ("LogphaseQueueRefusing", |_, stats| stats.counters.refusals = 1),
        ("LogphaseQueueNearlyFull", |_, stats| {
            (stats.counters.appended, stats.counters.depth, stats.counters.bytes, stats.max_bytes) =
                (1, 1, 81, Some(100));
        }),
        ("LogphaseQueueNearlyFull", |sample, _| sample.budgets[1] = (81, 100)),
        ("LogphaseMessagesDropped", |_, stats| (stats.counters.appended, stats.counters.dropped_overflow) = (3, 3)),
        ("LogphaseConservationBroken", |_, stats| stats.counters.appended = 1),
        ("LogphasePluginFailing", |_, stats| stats.failing = true),
        ("LogphaseQueueOld", |_, stats| stats.oldest = Some(Duration::from_secs(301))),
        ("LogphaseDeadLetters", |_, stats| stats.dead.letters = 1),
        ("LogphaseSyncSlow", |sample, _| sample.syncs = (99, 1)),
        ("LogphaseReloadRefused", |sample, _| sample.reload_error = Some("no".to_owned())),
        ("LogphaseOrphanedQueue", |sample, _| sample.disk.orphans = 1),
        ("LogphaseDatabaseUnreachable", |sample, _| {
            sample.database = Some((database(3, 3, 3), Some("gone".to_owned())))
        }),
        ("LogphaseDatabaseRevisionRefused", |sample, _| sample.database = Some((database(3, 2, 2), None))),
        ("LogphaseDatabaseCopyOld", |sample, _| sample.database = Some((database(3, 3, 2), None))),
    ];
    for (name, change) in cases {
        let (mut problems, mut windows, mut sample) =
            (Problems::default(), Windows::default(), sample_of(&[("id", 0.0)]));
        assert_eq!(found(&mut problems, &mut windows, 1, &sample), [""; 0]);
        let mut stats = sample.plugins.remove(0);
        change(&mut sample, &mut stats);
        sample.plugins.push(stats);
        assert_eq!(found(&mut problems, &mut windows, 2, &sample), [name]);
    }
    let (mut problems, mut windows, mut sample) = (Problems::default(), Windows::default(), sample_of(&[("id", 0.0)]));
    sample.disk.set_aside = 1;
    sample.database = Some((database(3, 3, 3), None));
    sample.plugins[0].counters.appended = 7;
    sample.plugins[0].counters.dropped_operator = 7;
    sample.syncs = (100, 1);
    sample.plugins[0].oldest = Some(Duration::from_secs(300));
    assert_eq!(
        found(&mut problems, &mut windows, 1, &sample),
        ["LogphaseFilesSetAside"],
        "all others are within bounds"
    );
}

/// Scenario: a queue refuses once, and messages are dropped once; then nothing more. Guarantees: the most severe comes first, each with the time of
/// its beginning; they last five and ten minutes.
#[test]
fn problems_pass() {
    let (mut problems, mut windows, mut sample) = (Problems::default(), Windows::default(), sample_of(&[("id", 0.0)]));
    sample.plugins[0].failing = true;
    sample.plugins[0].counters.refusals = 5;
    (sample.plugins[0].counters.appended, sample.plugins[0].counters.dropped_expired) = (2, 2);
    windows.see(1, &sample);
    let (all, left_out) = problems.find(&sample, &windows, 1000);
    let shown: Vec<_> = all.iter().map(|problem| (problem.alert, problem.text.as_str(), problem.since)).collect();
    assert_eq!(
        shown,
        [
            ("LogphaseQueueRefusing", ": refused 5 requests in the last five minutes", 1000),
            ("LogphaseMessagesDropped", ": 2 messages (expired) in the last ten minutes", 1000),
            ("LogphasePluginFailing", ": every attempt fails: no reason was given; 0 messages in the queue", 1000),
        ]
    );
    assert_eq!(left_out, 0);
    sample.plugins[0].failing = false;
    assert_eq!(found(&mut problems, &mut windows, FIVE_MINUTES, &sample).len(), 2);
    assert_eq!(found(&mut problems, &mut windows, FIVE_MINUTES + 1, &sample), ["LogphaseMessagesDropped"]);
    assert_eq!(problems.since.values().collect::<Vec<_>>(), [&1000]);
    assert_eq!(found(&mut problems, &mut windows, TEN_MINUTES + 1, &sample), [""; 0]);
    assert!(problems.since.is_empty());
}

/// Scenario: more failing plugins than are shown. Guarantees: their number is bounded, and the rest is counted.
#[test]
fn problems_are_bounded() {
    let names: Vec<String> = (0..150).map(|at| at.to_string()).collect();
    let plugins: Vec<_> = names.iter().map(|name| (name.as_str(), 0.0)).collect();
    let mut sample = sample_of(&plugins);
    sample.plugins.iter_mut().for_each(|stats| stats.failing = true);
    let (shown, left_out) = Problems::default().find(&sample, &Windows::default(), 0);
    assert_eq!((shown.len(), left_out), (super::MAX_PROBLEMS, 50));
}
