//! Commands that are not told where the service runs.

use super::service::{Ended, Home, configuration, transaction};
use serde_json::json;

/// Runs a command that knows the default data directory alone, which `variables` may change.
fn run(home: &Home, arguments: &[&str]) -> Ended {
    let default = home.text("default");
    home.run_with(&[("STATE_DIRECTORY", &default), ("LOGPHASE_DATA_DIR", &default)], arguments)
}

/// Scenario: a service with a data directory of its own, as that of `make run`; then a second one; then none. Commands are given
/// neither settings nor a data directory.
/// Guarantees: they find the only service and say which it is; of several they name the data directories; where none runs,
/// `queue list` fails and says where it looked.
#[test]
fn the_only_service_is_found() {
    let home = Home::with(&configuration(&json!([{"name": "file-log", "config": {"path": "/dev/null"}}])));
    let data = home.text("data");
    let (runtime, second_data) = (home.text("run"), home.text("second"));
    let mut service = home.start();
    service.accept(transaction(1).to_string());
    let using = format!("using the service with the data directory {data}\n");
    for arguments in [&["queue", "list"][..], &["tap", "--limit", "0"], &["top", "--once"]] {
        let ended = run(&service.home, arguments);
        assert!(ended.code() == 0 && ended.stderr.starts_with(&using), "{arguments:?}: {}", ended.stderr);
    }
    assert!(run(&service.home, &["top", "--once"]).stdout.contains("file-log"));
    // What is named is not looked for.
    let elsewhere = service.home.text("elsewhere");
    let ended = service.home.run_with(&[("LOGPHASE_DATA_DIR", &elsewhere)], &["tap"]);
    let none = format!("no service runs with the data directory {elsewhere};");
    assert!(ended.code() == 74 && ended.stderr.contains(&none), "{}", ended.stderr);

    let second = Home::with(&configuration(&json!([])));
    let mut second = second.set("RUNTIME_DIRECTORY", runtime).set("LOGPHASE_DATA_DIR", &second_data).start();
    let ended = run(&service.home, &["queue", "list"]);
    assert_eq!(ended.code(), 74);
    for path in [&data, &second_data] {
        assert!(ended.stderr.contains(path.as_str()), "{}", ended.stderr);
    }
    assert_eq!(second.stop(), 0);
    assert_eq!(run(&service.home, &["queue", "list"]).code(), 0);

    assert_eq!(service.stop(), 0);
    let ended = run(&service.home, &["queue", "list"]);
    let looked =
        format!("no service runs with the data directory {}, and it does not exist", service.home.text("default"));
    assert!(ended.code() == 74 && ended.stderr.contains(&looked), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}
