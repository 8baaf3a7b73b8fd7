//! `logphase check`.

use std::path::{Path, PathBuf};

use crate::service::{Ended, Home};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn check(arguments: &[&str]) -> Ended {
    Home::new().run_in(&fixtures(), &[&["check"], arguments].concat(), b"")
}

/// Everything that the command printed, on either output.
fn said(ended: &Ended) -> String {
    format!("{}{}", ended.stdout, ended.stderr)
}

/// Scenario: a file with ten different mistakes, including a Lua error in a block scalar.
/// Guarantees: exit code 78; the output shows all ten, each with its code, place and marker, as in the snapshot.
#[test]
fn ten_mistakes() {
    let ended = check(&["ten-mistakes.yml"]);
    assert_eq!(ended.code(), 78);
    let said = said(&ended);
    assert_eq!(said.matches("error[K").count(), 10, "{said}");
    insta::assert_snapshot!(said);
}

/// Scenario: the same file with `--format short`.
/// Guarantees: exit code 78; one line for each mistake, with file, line, column and code.
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

/// Scenario: a valid file with plugins and entities that Logphase does not use.
/// Guarantees: exit code 0; the output names the plugins that Logphase does not run.
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

/// Scenario: Lua that does not compile, in a block scalar, a folded scalar, a quoted one with an escaped line end, and
/// JSON.
/// Guarantees: the reported place is the line of the mistake, not the line where the value begins.
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

/// Scenario: several files, two of them with a mistake; a missing file; a binary file.
/// Guarantees: exit code 78 and the errors of every file, each with the file's name.
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

/// Scenario: `run` with the file of ten mistakes, with an endpoint that no sink can send to, with a misspelt setting,
/// and with an address in use.
/// Guarantees: the service does not start, reports the cause and the place, and exits with the documented code, not by
/// a panic.
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
    let taken = logphase_net::testing::listen_on(home.http);
    refused(&home, &taken.local_addr().unwrap().to_string());
}

/// Scenario: `untrusted_lua: off` with a snippet, and without one.
/// Guarantees: the first is refused at its line with Kong's text, the second is accepted.
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

/// Scenario: snippets that LuaJIT accepts and Luau rejects or interprets differently; one beyond each bound on source
/// text.
/// Guarantees: each is explained at its line: `goto`, number suffixes and bounds as errors, Luau's
/// additions as a note that keeps the configuration valid.
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
        ("return 5 // 2", 0, "K0304"),
        ("return (kong.response.get_status() / 3) .. 'x'", 0, "ok: 1 plugin"),
        ("return tostring(1 / 3) .. 'x'", 0, "ok: 1 plugin"),
    ] {
        home.write("kong.yml", &file(lua));
        let ended = home.run(&["check", "kong.yml"], b"");
        assert_eq!(ended.code(), code, "{lua}: {}", said(&ended));
        assert!(said(&ended).contains(help), "{lua}: {}", said(&ended));
    }
}

/// Scenario: snippets with names that the profile `sandbox` lacks, with a module that nobody offers, and with none of them;
/// then the settings that `--suggest` prints.
/// Guarantees: each name is a warning at its line that names the setting; with the suggested settings no warning is left, but
/// that of the module that no setting offers, which names what to use.
#[test]
fn names_that_settings_refuse_are_found_and_suggested() {
    let home = Home::new();
    let fields = serde_json::json!({
        "a": "local x = 1\nreturn os.date('%Y')", "b": "return require('cjson').encode({})", "c": "return ('x'):rep(3)",
        "d": "return require('socket').gettime()", "e": "return kong.request.get_method()",
    });
    let config = serde_json::json!({"path": "/tmp/x", "custom_fields_by_lua": fields});
    home.write(
        "kong.yml",
        &crate::service::configuration(&serde_json::json!([{"name": "file-log", "config": config}])),
    );
    let ended = home.run(&["check", "--format", "short", "kong.yml"], b"");
    assert_eq!(ended.code(), 0, "{}", said(&ended));
    for name in ["the use of `os.date`", "require `cjson`", "the use of `string.rep`", "require `socket`"] {
        assert!(said(&ended).contains(&format!("[K0306]: {name} fails")), "{name}: {}", said(&ended));
    }
    assert_eq!(said(&ended).matches("K0306").count(), 4, "{}", said(&ended));
    let suggested = home.run(&["check", "--suggest", "--format", "short", "kong.yml"], b"");
    let settings: String = said(&suggested)
        .lines()
        .filter(|line| line.starts_with("untrusted_lua"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(
        settings,
        "untrusted_lua_sandbox_requires: [cjson]\nuntrusted_lua_sandbox_environment: [os.date, string.rep]\n"
    );
    home.write("logphase.yml", &settings);
    let ended = home.run(&["check", "--settings", "logphase.yml", "kong.yml"], b"");
    assert_eq!(said(&ended).matches("K0306").count(), 1, "{}", said(&ended));
    assert!(said(&ended).contains("use ngx.now() for socket.gettime()"), "{}", said(&ended));
}

/// Scenario: snippets with a misspelt function of Kong, also through a local, a global that nobody has, and a function of another
/// phase; and snippets with sound names.
/// Guarantees: each is one warning at its line, with the nearest name or the phases; sound names have none.
#[test]
fn names_that_nobody_has_are_found() {
    let home = Home::new();
    let fields = serde_json::json!({
        "a": "local r = kong.request\nreturn r.get_heder('x')", "b": "return retrn", "c": "kong.response.exit(200)",
        "d": "return kong.ctx.shared.mine, ngx.var.upstream_addr, kong.log.serialize().request.anything",
    });
    let config = serde_json::json!({"path": "/tmp/x", "custom_fields_by_lua": fields});
    home.write(
        "kong.yml",
        &crate::service::configuration(&serde_json::json!([{"name": "file-log", "config": config}])),
    );
    let ended = home.run(&["check", "kong.yml"], b"");
    assert_eq!(ended.code(), 0, "{}", said(&ended));
    for text in [
        "there is no member `kong.request.get_heder`",
        "did you mean `kong.request.get_header`?",
        "there is no global `retrn`",
        "`kong.response.exit` fails: a function of the log phase may not call it",
    ] {
        assert_eq!(said(&ended).matches(text).count(), 1, "{text}: {}", said(&ended));
    }
    assert_eq!(said(&ended).matches("K0308").count(), 3, "{}", said(&ended));
}

/// Scenario: a configuration with a custom plugin, a proxying plugin of Kong, and plugins that send something from Kong's log
/// phase, which Logphase does not send; with and without `--strict`, and with the custom plugin in the settings.
/// Guarantees: each is a note that says what it is; in a strict check the custom plugin is an error unless the settings name it.
#[test]
fn plugins_that_do_not_run_here_are_told_apart() {
    let home = Home::new();
    home.write(
        "kong.yml",
        "_format_version: '3.0'\nplugins:\n- {name: acme-auth, config: {x: 1}}\n- {name: jwt}\n- {name: zipkin}\n- {name: prometheus}\n- {name: file-log, config: {path: /tmp/x}}\n",
    );
    let run = |more: &[&str]| home.run(&[&["check", "--format", "short", "kong.yml"], more].concat(), b"");
    let ended = run(&[]);
    assert_eq!(ended.code(), 0, "{}", said(&ended));
    for note in [
        "note[K0202]: plugin `acme-auth` is skipped: it is not one of Kong's",
        "note[K0206]: plugin `jwt` is skipped: it does nothing in the log phase",
        "note[K0206]: plugin `zipkin` is not sent from here",
        "note[K0206]: plugin `prometheus` is not sent from here",
    ] {
        assert!(said(&ended).contains(note), "{note} is not in\n{}", said(&ended));
    }
    let strict = run(&["--strict"]);
    assert_eq!(strict.code(), 78);
    assert!(said(&strict).contains("error[K0202]: unknown plugin `acme-auth`"), "{}", said(&strict));
    home.write("logphase.yml", "custom_plugins: [acme-auth]\n");
    assert_eq!(run(&["--strict"]).code(), 0);
}
