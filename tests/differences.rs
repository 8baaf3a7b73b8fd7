//! README.md's table of differences from Kong: each row names a test that shows what it says of Logphase.

use std::path::Path;

use serde_json::{Value, json};

use crate::service::{Home, configuration};

/// A row's first cell, a file of tests, and the test in it.
const SHOWN: [(&str, &str, &str); 41] = [
    ("order of a plugin's fields", "tests/differences.rs", "fields_run_as_written"),
    ("a snippet fails", "tests/sandbox.rs", "failing_field_keeps_the_message"),
    ("a snippet never ends", "crates/script/src/tests/stops.rs", "nothing_outlives_its_deadline"),
    ("a snippet fills the memory", "src/phase/tests/run.rs", "a_memory_bomb_leaves_a_clean_vm"),
    ("a snippet sets a very large value", "src/phase/tests/run.rs", "values_are_limited"),
    ("a syntax error in a snippet", "tests/check.rs", "lua_errors_point_into_the_file"),
    ("compiling", "crates/script/src/tests/names.rs", "a_returned_function_runs_in_place_of_its_chunk"),
    ("language", "crates/script/src/tests/luajit.rs", "results_are_luajits_but_for_what_the_readme_states"),
    ("globals, `_G`, `string.upper = ...`", "crates/script/src/tests/names.rs", "globals_stay_with_their_snippet"),
    ("a table changed after a plugin took it", "src/phase/tests/run.rs", "edits_reach_later_plugins_only"),
    ("numbers that no field touched", "crates/script/src/message/tests.rs", "untouched_text_is_unchanged"),
    ("order of members", "crates/script/src/message/tests.rs", "untouched_text_is_unchanged"),
    ("queue", "tests/sharing.rs", "a_full_queue_in_memory_goes_to_disk"),
    ("a restart", "crates/queue/src/durable/tests.rs", "undelivered_entries_survive_a_restart"),
    ("a full queue", "tests/http_input.rs", "full_queue"),
    ("an unavailable receiver", "src/delivery/tests.rs", "failures_keep_order_and_lose_nothing"),
    ("tcp-log, around a restart of the receiver", "tests/restarts.rs", "tcp_peer"),
    ("tcp-log, TLS", "src/sink/tcp/tests.rs", "tls_verifies_unless_told_otherwise"),
    ("tcp-log, connections", "src/sink/tcp/tests.rs", "lines_go_over_one_connection"),
    ("file-log, file moved or removed", "src/sink/file/writer/tests.rs", "a_removed_file_is_created_again"),
    ("file-log, lines over 4 KiB to a pipe", "src/sink/file/writer/tests.rs", "a_pipe_gets_whole_lines"),
    ("file-log, disk full or no permission", "src/sink/file/writer/tests.rs", "errors_are_clear_and_transient"),
    ("`/dev/stdout`", "src/sink/file/writer/tests.rs", "standard_output_is_the_inherited_one"),
    ("udp-log, larger than a datagram", "src/sink/udp/tests.rs", "the_policy_decides_about_oversize_messages"),
    ("http-log, 400, 413, 422", "src/sink/http/tests.rs", "one_bad_message_affects_no_other"),
    (
        "http-log, kafka-log, opentelemetry: messages that the receiver rejects permanently",
        "src/delivery/tests.rs",
        "an_entry_stays_queued_until_its_dead_letter_is_written",
    ),
    ("kafka-log, buffer full or broker unavailable", "src/sink/kafka/tests/delivery.rs", "waits_for_a_broker"),
    ("kafka-log, without `producer_request_acks`", "src/sink/kafka/tests/delivery.rs", "every_acks_settles"),
    ("opentelemetry, attributes by Lua", "src/phase/tests/run.rs", "attributes_are_of_one_plugin"),
    (
        "statsd, datadog: names with `:` or other signs of the protocol",
        "src/sink/statsd/tests.rs",
        "any_names_can_be_read",
    ),
    ("statsd, datadog: L4 sessions", "src/plugin/tests/statsd.rs", "what_a_transaction_lacks"),
    ("statsd, `shdict_usage`", "src/plugin/tests/statsd.rs", "what_is_not_sent_is_noted"),
    ("syslog, L4 sessions", "src/sink/syslog/tests/headers.rs", "the_status_decides_the_severity"),
    ("syslog, the daemon restarts", "tests/syslog.rs", "restarts_on_the_local_socket"),
    ("loggly, `\"`, `\\` and `]` in a tag", "src/sink/syslog/loggly/tests.rs", "datagrams_with_key_and_tags"),
    ("secrets in cookies, query strings, bodies", "tests/sandbox.rs", "secrets_are_redacted"),
    (
        "empty `tags`, `tries`, `paths` received as `{}`",
        "crates/script/src/tests/differences.rs",
        "lists_of_kong_are_lists",
    ),
    ("`{vault://...}` references", "tests/vaults.rs", "references_are_resolved_or_refused_where_they_stand"),
    ("`condition` of a plugin (3.14, 3.15)", "tests/configurations.rs", "conditions_decide_which_plugins_run"),
    ("a condition that fails (CEL)", "src/router/condition/tests.rs", "conditions_hold_as_in_kong"),
    ("`router_flavor: traditional`", "tests/router.rs", "the_flavor_traditional_is_refused"),
];

/// The first cells of the rows of the table of differences.
fn rows(readme: &str) -> Vec<&str> {
    let table = readme.split_once("**Differences.**").expect("README.md has the table").1;
    let rows = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .filter_map(|line| line[1..].split(" | ").next())
        .map(str::trim)
        .collect()
}

/// Scenario: the rows of the README's table of differences, beside the tests that show them.
/// Guarantees: every row has a test that is there, and no test stands for a row that is gone.
#[test]
fn every_row_is_shown_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let readme = read("README.md");
    assert_eq!(rows(&readme), SHOWN.map(|(row, _, _)| row));
    for (row, file, test) in SHOWN {
        let text = read(file);
        let is_test = text.match_indices(&format!("fn {test}(")).any(|(at, _)| {
            let before = text[..at].trim_end().trim_end_matches("async").trim_end();
            before.lines().next_back().is_some_and(|line| line.trim_start().starts_with("#[") && line.contains("test"))
        });
        assert!(is_test, "{row}: {file} has no test {test}");
    }
}

/// Scenario: two fields, one below the other, in either order.
/// Guarantees: they apply as written.
#[test]
fn fields_run_as_written() {
    for (fields, expected) in [
        (r#"{"own.x": "return 1", "own": "return {y = 2}"}"#, json!({"y": 2})),
        (r#"{"own": "return {y = 2}", "own.x": "return 1"}"#, json!({"y": 2, "x": 1})),
    ] {
        let plugins: Value =
            json!([{"name": "file-log", "config": {"path": "/tmp/x.log", "custom_fields_by_lua": "FIELDS"}}]);
        let home = Home::with(&configuration(&plugins).replace(r#""FIELDS""#, fields));
        let ended = home.run(&["try", "--json", "kong.yml"], b"{}\n");
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        let line: Value =
            serde_json::from_str(ended.stdout.lines().next().unwrap_or_default()).expect("a line of JSON");
        assert_eq!(line["message"]["own"], expected, "{fields}");
    }
}
