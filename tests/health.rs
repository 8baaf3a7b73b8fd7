//! `logphase health`.

use serde_json::json;

use crate::service::{Home, configuration, wait_until};

/// Scenario: the command without a service, beside a running one that has no status listener, and after it has stopped.
/// Guarantees: exit code 0 exactly while the service is ready; otherwise 1, with what to do.
#[test]
fn says_whether_the_service_is_ready() {
    let home = Home::new();
    let config = json!([{"name": "file-log", "config": {"path": home.text("messages.log")}}]);
    home.write("kong.yml", &configuration(&config));
    let ended = home.run(&["health"], b"");
    assert_eq!(ended.code(), 1);
    assert!(ended.stderr.contains("no service runs with the data directory"), "{}", ended.stderr);
    let mut service = home.start();
    wait_until("it is ready", || service.home.run(&["health"], b"").stdout == "ready\n");
    let live = service.home.run(&["health", "--live"], b"");
    assert_eq!((live.code(), &*live.stdout), (0, "live\n"), "{}", live.stderr);
    assert_eq!(service.stop(), 0);
    assert_eq!(service.home.run(&["health"], b"").code(), 1);
}
