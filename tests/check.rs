//! `logphase check`.

use std::path::{Path, PathBuf};

use crate::service::{Ended, Home};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn check(arguments: &[&str]) -> Ended {
    Home::new().run_in(&fixtures(), &[&["check"], arguments].concat(), b"")
}

/// What was said, wherever.
fn said(ended: &Ended) -> String {
    format!("{}{}", ended.stdout, ended.stderr)
}

/// Scenario: a file with ten mistakes, each of another kind, a Lua error in a block scalar among them.
/// Guarantees: exit code 78; all ten are shown, each with its code, place and a caret under it, in this text.
#[test]
fn ten_mistakes() {
    let ended = check(&["ten-mistakes.yml"]);
    assert_eq!(ended.code(), 78);
    let said = said(&ended);
    assert_eq!(said.matches("error[K").count(), 10, "{said}");
    insta::assert_snapshot!(said);
}

/// Scenario: the same with `--format short`.
/// Guarantees: exit code 78; one line for each, with file, line, column and code.
#[test]
fn ten_mistakes_short() {
    let ended = check(&["ten-mistakes.yml", "--format", "short"]);
    assert_eq!(ended.code(), 78);
    let said = said(&ended);
    assert_eq!(
        said.lines().filter(|line| line.starts_with("ten-mistakes.yml:") && line.contains("error[K")).count(),
        10,
        "{said}"
    );
    insta::assert_snapshot!(said);
}

/// Scenario: a file that is in order, with plugins and entities that Logphase has no use for.
/// Guarantees: exit code 0; the plugins that are not run here are named.
#[test]
fn clean_file() {
    let ended = check(&["clean.yml"]);
    let said = said(&ended);
    assert_eq!(ended.code(), 0, "{said}");
    for name in ["rate-limiting", "cors"] {
        assert!(said.contains(name), "{name} is not in\n{said}");
    }
    insta::assert_snapshot!(said);
}

/// Scenario: Lua that does not compile, in a block scalar, a folded one, a quoted one with an escaped line end, and JSON.
/// Guarantees: the place is the line of the file where the mistake is, not where the value begins.
#[test]
fn lua_errors_point_into_the_file() {
    let head =
        "_format_version: '3.0'\nplugins:\n- name: file-log\n  config:\n    path: /tmp/x\n    custom_fields_by_lua:\n";
    let home = Home::new();
    home.write("block.yml", &format!("{head}      a: |\n        local x = 1\n\n        return x +\n"));
    home.write(
        "kept.yml",
        &format!("{head}      a: |2-\n          local x = 1\n          x = = 2\n          return x\n"),
    );
    home.write("quoted.yml", &format!("{head}      a: \"local x = 1\\n\n        return return\"\n"));
    home.write("plain.yml", &format!("{head}      ok: return 1\n      a: return (\n"));
    home.write(
        "one.json",
        "{\"_format_version\": \"3.0\", \"plugins\": [{\"name\": \"pre-function\",\n\"config\": {\"log\": [\n\"return 1\",\n\"local x\\nx = = 1\"]}}]}",
    );
    for (file, lines) in
        [("block.yml", 10..=10), ("kept.yml", 9..=9), ("quoted.yml", 8..=8), ("plain.yml", 8..=8), ("one.json", 4..=4)]
    {
        let ended = home.run(&["check", file, "--format", "short"], b"");
        let said = said(&ended);
        assert_eq!(ended.code(), 78, "{said}");
        let prefix = format!("{file}:");
        let found = said.lines().find(|line| line.contains("K0301")).unwrap_or_else(|| panic!("no K0301 in\n{said}"));
        let place = &found[found.find(&prefix).unwrap_or_else(|| panic!("no place in {found}")) + prefix.len()..];
        let line: u32 = place.split(':').next().and_then(|line| line.parse().ok()).unwrap();
        assert!(lines.contains(&line), "{file}: {found}");
    }
}

/// Scenario: several files, two of which have a mistake; a file that is not there; a file that is binary.
/// Guarantees: exit code 78 and the errors of every file, each by its name.
#[test]
fn every_error_of_every_file() {
    let home = Home::new();
    home.write("a.yml", "_format_version: '3.0'\nplugins: [{name: file-log, config: {pth: /tmp/x}}]\n");
    home.write("b.yml", "_format_version: '3.0'\nplugins: [{name: udp-log, config: {host: h, port: x}}]\n");
    home.write("good.yml", "_format_version: '3.0'\n");
    std::fs::write(home.path("binary.yml"), b"\xff\xfe\0\0").unwrap();
    let ended =
        home.run(&["check", "a.yml", "good.yml", "b.yml", "absent.yml", "binary.yml", "--format", "short"], b"");
    let said = said(&ended);
    assert_eq!(ended.code(), 78, "{said}");
    for file in ["a.yml", "b.yml", "absent.yml", "binary.yml"] {
        assert!(said.lines().any(|line| line.contains(file) && line.contains("error")), "{file} is not in\n{said}");
    }
    assert!(!said.lines().any(|line| line.contains("good.yml") && line.contains("error")), "{said}");
}

/// Scenario: `run` with the file of ten mistakes, with an address that no sink can send to, with a misspelt setting, with an
/// address that is taken.
/// Guarantees: it does not start, says why and where, and ends with a code of its own, not by a panic.
#[test]
fn run_refuses() {
    let refused = |home: &Home, expected: &str| {
        let ended = home.run(&["run", "kong.yml"], b"");
        let said = said(&ended);
        assert!(ended.code() > 0 && ended.code() != 101, "{}: {said}", ended.code());
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    };
    let mistakes = std::fs::read_to_string(fixtures().join("ten-mistakes.yml")).unwrap();
    refused(&Home::with(&mistakes), "K0102");
    let elsewhere = "_format_version: '3.0'\nplugins: [{name: http-log, config: {http_endpoint: 'ftp://127.0.0.1'}}]\n";
    refused(&Home::with(elsewhere), "must begin with http:// or https://");
    let empty = "_format_version: '3.0'\n";
    refused(&Home::with(empty).set("LOGPHASE_HTTP_LISTN", "127.0.0.1:1"), "LOGPHASE_HTTP_LISTEN");
    let home = Home::with(empty);
    let taken = std::net::TcpListener::bind(("127.0.0.1", home.http)).unwrap();
    refused(&home, &taken.local_addr().unwrap().to_string());
}

/// Scenario: `untrusted_lua: off` with a snippet, and without one.
/// Guarantees: the first is refused at its line in Kong's words, the second is taken.
#[test]
fn lua_can_be_turned_off() {
    let home = Home::new().set("LOGPHASE_UNTRUSTED_LUA", "off");
    home.write(
        "with.yml",
        "_format_version: '3.0'\nplugins:\n- name: file-log\n  config:\n    path: /tmp/x\n    custom_fields_by_lua:\n      a: return 1\n",
    );
    home.write("without.yml", "_format_version: '3.0'\nplugins:\n- name: file-log\n  config: {path: /tmp/x}\n");
    let with = home.run(&["check", "with.yml"], b"");
    assert_eq!(with.code(), 78);
    assert!(said(&with).contains("K0303") && said(&with).contains("with.yml:7:10"), "{}", said(&with));
    assert!(said(&with).contains("loading of untrusted Lua code disabled"), "{}", said(&with));
    assert_eq!(home.run(&["check", "without.yml"], b"").code(), 0);
}

/// Scenario: snippets that LuaJIT takes and Luau does not, or takes otherwise; one past each bound on its text.
/// Guarantees: each is explained at its line: `goto`, number suffixes and bounds as errors, digits of joined numbers as
/// a note that leaves the configuration sound.
#[test]
fn differences_of_the_dialect_are_explained() {
    let home = Home::new().set("LOGPHASE_LUA_MAX_SOURCE_BYTES", "2KiB").set("LOGPHASE_LUA_MAX_SOURCE_NESTING", "10");
    let file = |lua: &str| {
        let config = serde_json::json!({"path": "/tmp/x", "custom_fields_by_lua": {"a": lua}});
        crate::service::configuration(&serde_json::json!([{"name": "file-log", "config": config}]))
    };
    let deep = format!("return {}1{}", "(".repeat(11), ")".repeat(11));
    let large = format!("return '{}'", "x".repeat(2048));
    for (lua, code, help) in [
        ("goto done", 78, "Luau has no `goto`"),
        ("return 1LL", 78, "number suffixes"),
        (&*deep, 78, "lua.max_source_nesting"),
        (&*large, 78, "lua.max_source_bytes"),
        ("return (kong.response.get_status() / 3) .. 'x'", 0, "K0304"),
        ("return tostring(1 / 3) .. 'x'", 0, "ok: 1 plugin"),
    ] {
        home.write("kong.yml", &file(lua));
        let ended = home.run(&["check", "kong.yml"], b"");
        assert_eq!(ended.code(), code, "{lua}: {}", said(&ended));
        assert!(said(&ended).contains(help), "{lua}: {}", said(&ended));
    }
}
