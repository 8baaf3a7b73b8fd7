//! The level of the log, changed by requests.

use super::Admin;
use crate::service::wait_until;

/// Scenario: a request asks for the level `debug` for an hour, another one for `error` for a second. Guarantees: the lines of the level
/// are there while it lasts, and it ends by itself; who changes what is logged at every level.
#[test]
fn changes_for_a_time() {
    let admin = Admin::start();
    let level = || admin.expect(200, "GET", "/debug/node/log-level", None)["message"].clone();
    assert_eq!(level(), "log level: info");
    let has_debug_lines = || admin.service.log().contains(" DEBUG ");
    assert!(!has_debug_lines(), "{}", admin.service.log());
    admin.expect(200, "PUT", "/debug/node/log-level/debug?timeout=3600", None);
    assert_eq!(level(), "log level: debug");
    wait_until("lines of the level are logged", || {
        admin.service.client().post(b"no transaction").unwrap();
        has_debug_lines()
    });
    assert!(admin.service.has_logged("admin: the level of the log is debug for 3600s by 127.0.0.1"));
    admin.expect(200, "PUT", "/debug/node/log-level/error?timeout=1", None);
    admin.expect(201, "POST", "/consumers", Some(serde_json::json!({"username": "ann"})));
    wait_until("the audit line is there", || admin.service.has_logged("admin: created consumers"));
    wait_until("the level of the settings is back", || level() == "log level: info");
    assert!(admin.service.has_logged("admin: the level of the log is info again"));
}
