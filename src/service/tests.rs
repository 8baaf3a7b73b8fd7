//! The cost of reading, checking and preparing a configuration.

mod last;

use std::time::Duration;

use logphase_config::diagnostic::{Format, SourceFile, any_error, render_all};
use rustix::time::{ClockId, clock_gettime};

use super::{Loaded, Prepared};
use crate::entity::Completeness;
use crate::settings::Settings;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).expect("since the start of the thread"));
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).expect("nanoseconds"))
}

/// The CPU time in which `text` is read, checked, prepared and reported; and whether it is valid.
fn cost(text: &str) -> (Duration, bool) {
    let file = SourceFile::new("kong.yml", text);
    let settings = Settings { select_tags: vec!["t0".to_owned()], ..Settings::default() };
    let start = cpu_time();
    let prepared = Prepared::new(Loaded::from_text(settings, &[file], Completeness::LogPhase));
    let diagnostics = prepared.as_ref().map_or_else(Clone::clone, |prepared| prepared.warnings().to_vec());
    let written = [Format::Pretty, Format::Short].map(|format| render_all(&diagnostics, format, false).len());
    let taken = cpu_time() - start;
    assert!(written.iter().all(|bytes| *bytes < 400_000), "{written:?} bytes for {} bytes", text.len());
    (taken, !any_error(&diagnostics))
}

/// One text per `n`.
fn repeated(n: usize, one: impl Fn(usize) -> String) -> String {
    (0..n).map(one).collect()
}

const HEAD: &str = "_format_version: '3.0'\n_info: {select_tags: [t0]}\n";

/// Configurations with `n` of something that could be compared with all others; a valid one is expected where it says so.
fn shapes(n: usize) -> Vec<(&'static str, bool, String)> {
    let file_log = "{name: file-log, config: {path: /tmp/a}}";
    let http_log = "{name: http-log, config: {http_endpoint: 'http://h/'}}";
    let services = |plugin: &str| {
        repeated(n, |at| {
            format!("- {{name: s{at}, url: 'http://h', plugins: [{}]}}\n", plugin.replace("AT", &at.to_string()))
        })
    };
    let list = |one: &dyn Fn(usize) -> String| repeated(n, |at| one(at) + ",");
    vec![
        ("plugins on services", true, format!("{HEAD}services:\n{}", services(file_log))),
        ("plugins that share a queue", true, format!("{HEAD}services:\n{}", services(http_log))),
        ("plugins of one scope", false, format!("{HEAD}plugins:\n{}", format!("- {file_log}\n").repeat(n))),
        ("one line", false, format!("{HEAD}plugins: [{}]\n", format!("{file_log},").repeat(n))),
        (
            "equal instance names",
            false,
            format!("{HEAD}services:\n{}", services(&file_log.replace("{name", "{instance_name: i, name"))),
        ),
        ("unknown plugins", false, format!("{HEAD}services:\n{}", services("{name: fil-logAT}"))),
        (
            "unknown fields",
            false,
            format!("{HEAD}plugins: [{{name: file-log, config: {{{}}}}}]\n", list(&|at| format!("patj{at}: 1"))),
        ),
        (
            "unknown routes",
            false,
            format!(
                "{HEAD}routes:\n{}plugins:\n{}",
                repeated(n, |at| format!("- {{name: r{at:06}, paths: [/]}}\n")),
                repeated(n, |at| format!("- {{name: file-log, route: q{at:06}, config: {{path: /tmp/a}}}}\n"))
            ),
        ),
        (
            "shared configurations",
            true,
            format!(
                "{HEAD}_plugin_configs:\n{}services:\n{}",
                repeated(n, |at| format!("  c{at}: {{path: /tmp/a}}\n")),
                services("{name: file-log, _config: cAT}")
            ),
        ),
        (
            "unknown shared configurations",
            false,
            format!(
                "{HEAD}_plugin_configs:\n{}services:\n{}",
                repeated(n, |at| format!("  c{at:06}: {{path: /tmp/a}}\n")),
                services("{name: file-log, _config: d00AT}")
            ),
        ),
        (
            "fields over shared ones",
            true,
            format!(
                "{HEAD}_plugin_configs: {{c: {{path: /tmp/a, custom_fields_by_lua: {{{}}}}}}}\nplugins: [{{name: file-log, _config: c, config: {{custom_fields_by_lua: {{{}}}}}}}]\n",
                list(&|at| format!("a{at}: return 1")),
                list(&|at| format!("b{at}: return 1"))
            ),
        ),
        (
            "tags of a file and of an entity",
            true,
            format!(
                "_format_version: '3.0'\n_info: {{select_tags: [t0, {}]}}\nplugins: [{{name: syslog, tags: [{}]}}]\nservices:\n{}",
                list(&|at| format!("f{at}")),
                list(&|at| format!("e{at}")),
                services(file_log)
            ),
        ),
        (
            "consumers of one group",
            true,
            format!(
                "{HEAD}consumers:\n{}consumer_groups: [{{name: g, consumers: [{}], plugins: [{http_log}]}}]\n",
                repeated(n, |at| format!("- {{username: u{at}, groups: [g]}}\n")),
                list(&|at| format!("u{at}"))
            ),
        ),
        ("equal keys", false, format!("{HEAD}{}", "plugins: []\n".repeat(n))),
        (
            "expressions in one scalar",
            false,
            format!(
                "{HEAD}plugins: [{{name: file-log, config: {{path: '/tmp/{}'}}}}]\n",
                "${{ env \"DECK_X\" }}".repeat(n)
            ),
        ),
        ("open expressions", false, format!("{HEAD}services: [{{name: s, host: '{}'}}]\n", "${{".repeat(n))),
        (
            "aliases",
            true,
            format!(
                "{HEAD}services:\n- &a {{name: s, url: 'http://h'}}\n{}",
                repeated(n, |at| format!("- {{<<: *a, name: s{at}}}\n"))
            ),
        ),
        (
            "Lua mistakes",
            false,
            format!("{HEAD}plugins: [{{name: pre-function, config: {{log: [{}]}}}}]\n", "'return (',".repeat(n)),
        ),
        ("mistakes in long words", false, format!("{HEAD}plugins: [{{name: syslog, {}: 1}}]\n", "file-log".repeat(n))),
        ("a custom plugin with a long name", true, format!("{HEAD}plugins: [{{name: {}}}]\n", "file-log".repeat(n))),
    ]
}

/// Scenario: configurations with 100 and with 1,000 of one thing: plugins of one scope, on one line, that share a queue;
/// references, names and shared configurations that do not exist; tags, consumers, equal keys, expressions, aliases,
/// mistakes.
/// Guarantees: reading, checking, preparing and reporting ten times as many takes about ten times as long, and not a hundred
/// times; the report has a bounded size.
#[test]
fn cost_is_linear() {
    for ((name, valid, small), (.., large)) in shapes(100).iter().zip(&shapes(1000)) {
        assert_eq!(cost(small).1, *valid, "{name}");
        let quick = (0..3).map(|_| cost(small).0).min().expect("three runs");
        // What does not grow with the configuration is in both.
        let bound = quick * 30 + Duration::from_millis(20);
        let taken: Vec<_> = (0..3).map(|_| cost(large).0).take_while(|taken| *taken > bound).collect();
        assert!(taken.len() < 3, "{name}: {quick:?} for 100, {taken:?} for 1,000");
    }
}
