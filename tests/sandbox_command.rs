//! `logphase sandbox`: attacks, and whether the sandbox contains them.

use serde_json::Value;

use crate::service::{Ended, Home};

/// The lines of `--json`.
fn rows(ended: &Ended) -> Vec<Value> {
    ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// A home with the program's default settings.
fn home() -> Home {
    Home::new().set("LOGPHASE_LUA_DEADLINE_MS", "10").set("LOGPHASE_LUA_PLUGIN_DEADLINE_MS", "50")
}

/// Scenario: the built-in scripts.
/// Guarantees: every one is contained, exit code 0; more than 200, of all 34 classes; the table shows how each was
/// contained.
#[test]
fn every_attack_is_contained() {
    let ended = home().run(&["sandbox"], b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
    assert!(!ended.stdout.contains("ESCAPED"), "{}", ended.stdout);
    let attacks = ended.stdout.lines().filter(|line| line.contains(".lua ") && line.contains(" contained ")).count();
    assert!(attacks >= 200, "{attacks}: {}", ended.stdout);
    for class in 1..=34 {
        assert!(ended.stdout.contains(&format!("\n{class:02}-")), "no attack of class {class}");
    }
    for how in ["refused", "stopped", "limited"] {
        assert!(ended.stdout.contains(how), "{how}");
    }
    assert!(
        ended.stdout.ends_with(&format!("{attacks} attacks: {attacks} contained, 0 escaped\n")),
        "{}",
        ended.stdout
    );
}

/// Scenario: attacks from published reports in a user's folder, some without a header.
/// Guarantees: contained, exit code 0, each listed with its result.
#[test]
fn a_users_own_attacks() {
    let home = home();
    std::fs::create_dir_all(home.path("mine/deeper")).unwrap();
    home.write("mine/endless.lua", "while true do pcall(function() while true do end end) end");
    home.write("mine/pattern.lua", "return (('a'):rep(1e4)):find((('.-'):rep(4)) .. 'b$')");
    home.write("mine/deeper/doubling.lua", "local s = 'x' while true do s = s .. s end");
    home.write("mine/deeper/honest.lua", "return kong.request.get_method()");
    home.write("mine/deeper/log.lua", "for i = 1, 1e6 do print(('x\\n'):rep(1e3)) end");
    home.write("mine/steal.lua", "kong.request.get_header = function() return 'stolen' end");
    home.write("mine/notes.txt", "no script");
    let ended = home.run(&["sandbox", "--json", "mine"], b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
    let rows = rows(&ended);
    assert_eq!(rows.len(), 6, "{}", ended.stdout);
    assert!(rows.iter().all(|row| row["contained"] == true), "{}", ended.stdout);
    let one = home.run(&["sandbox", "mine/deeper/honest.lua"], b"");
    assert!(one.code() == 0 && one.stdout.contains("POST"), "{}", one.stdout);
}

/// Scenario: scripts with wrong expectations: an error from a script that returns a value, a stop of one that ends.
/// Guarantees: ESCAPED with the actual result, exit code 1; so the table above can fail.
#[test]
fn what_is_not_as_expected_has_escaped() {
    let home = home();
    home.write("value.lua", "-- attack: none\n-- expect: error \"boom\"\nreturn 1");
    home.write("ends.lua", "-- attack: none\n-- expect: stopped\nreturn 2");
    home.write("fine.lua", "-- attack: none\n-- expect: value 3\nreturn 3");
    let ended = home.run(&["sandbox", "value.lua", "ends.lua", "fine.lua"], b"");
    assert_eq!(ended.code(), 1, "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("ESCAPED").count(), 2, "{}", ended.stdout);
    assert!(ended.stdout.ends_with("3 attacks: 1 contained, 2 escaped\n"), "{}", ended.stdout);
}

/// Scenario: a path that does not exist, an invalid header.
/// Guarantees: exit code 74 for the first; both errors name the problem and the place.
#[test]
fn unreadable_scripts() {
    let home = home();
    let ended = home.run(&["sandbox", "nowhere.lua"], b"");
    assert_eq!(ended.code(), 74, "{}", ended.stdout);
    assert!(ended.stderr.contains("nowhere.lua"), "{}", ended.stderr);
    home.write("wrong.lua", "-- attack: x\n-- expect: exploded\nreturn 1");
    let ended = home.run(&["sandbox", "wrong.lua"], b"");
    assert!(ended.code() != 0 && ended.stderr.contains("wrong.lua:2"), "{}: {}", ended.code(), ended.stderr);
}
