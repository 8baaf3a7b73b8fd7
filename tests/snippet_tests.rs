//! `logphase test`: tests of users' snippets.

use std::path::Path;

use serde_json::Value;

use crate::service::{Ended, Home};

/// Fields that need no other file.
const FIELDS: &str = r#"# Tests of two fields.
fields:
  agent: return kong.request.get_header("user-agent")
  kind: return kong.response.get_status() >= 500 and "bad" or "good"
transaction:   # shared by all tests
  request: {method: GET, headers: {user-agent: curl/8.5.0, host: example.com}}
  response: {status: 200, size: 1.50}
  tries: [{ip: 10.0.0.1}]
"#;

/// The output, with every duration replaced by 5 ms.
fn printed(ended: &Ended) -> String {
    let text = format!("exit code {}\n{}{}", ended.code(), ended.stdout, ended.stderr);
    let lines = text.lines().map(|line| match (line.rfind(" ("), line.ends_with(" ms)")) {
        (Some(at), true) => format!("{} (5 ms)", &line[..at]),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A home with a test file with the common fields and these tests.
fn home(tests: &str) -> Home {
    let home = Home::new();
    home.write("tests.yml", &format!("{FIELDS}tests:\n{tests}"));
    home
}

fn run(home: &Home) -> Ended {
    home.run(&["test", "tests.yml"], b"")
}

/// Scenario: all test files in `examples/`.
/// Guarantees: every one passes, and the quickstart and at least three plugins have one.
#[test]
fn examples_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = std::fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = folders.map(|folder| folder.join("tests.yml")).filter(|file| file.is_file()).collect();
    assert!(files.len() > 3 && files.iter().any(|file| file.ends_with("quickstart/tests.yml")), "{files:?}");
    let mut arguments = vec!["test"];
    arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
    let ended = Home::new().run_in(root, &arguments, b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.ends_with(" passed, 0 failed\n"), "{}", ended.stdout);
}

/// Scenario: shared parts and a test's changes to them: dotted and nested keys, elements, null, a test's own
/// transaction; numbers in another form, members in another order, each matcher, absent fields, strictness.
/// Guarantees: all of them pass.
#[test]
fn passing() {
    let home = home(
        r#"
- name: subset
  expect:
    fields: {agent: curl/8.5.0, response: {size: 1.5, status: 200.0}, "tries[1].ip": 10.0.0.1}
    absent: [nothing, request.headers.cookie]
- name: changed
  with: {response.status: 500, request: {headers: {user-agent: null, cookie: x}}, "tries[1].port": 80, "tries[2]": {ip: b}}
  expect:
    message:
      tries: [{port: 80, ip: 10.0.0.1}, {ip: b}]
      response: {size: 1.5, status: 500}
      request: {headers: {cookie: x, host: example.com}, method: GET}
      kind: bad
- name: of its own
  transaction: {response: {status: 1}}
  only: true
  expect: {file-log: {message: {response: {status: 1}, kind: good}}}
- name: matchers
  expect:
    message:
      agent: {$matches: "^curl/[0-9.]+$"}
      kind: {$any: true}
      request: {$type: object}
      tries: {$type: array}
      response: {size: {$type: number}, status: {$type: integer}}
- name: more matchers
  expect: {fields: {agent: {$contains: url}, response: {$is: {status: 200, size: 1.5}}}}
"#,
    );
    let ended = run(&home);
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.ends_with("5 passed, 0 failed\n"), "{}", ended.stdout);
}

const FAILING: &str = r#"
- name: passes
  expect: {fields: {kind: good}}
# about the next one
- name: subset
  expect:
    # what curl says
    fields:
      agent: wget   # once it was
      response: {status: 404, length: 5}
      kind: {$matches: "^o+d$"}
    absent: [request.method, nothing]
- name: whole
  expect:
    message:
      request: {$type: object}
      response: {status: 201, size: 1.5}   # of the answer
      # lists
      tries: [{ip: {$matches: '^10\.'}}]
      extra: "yes"
      kind: good
- name: without any
- name: silence
  expect: {none: true}

# the end
"#;

/// Scenario: each kind of failure.
/// Guarantees: the output has the paths that differ, a diff of a whole message and the test's place; exit code 1.
#[test]
fn failing() {
    insta::assert_snapshot!(printed(&run(&home(FAILING))));
}

/// Scenario: the same with `--json`.
/// Guarantees: one object per test with file, line, name, result and each difference.
#[test]
fn failing_as_json() {
    let ended = home(FAILING).run(&["test", "--json", "tests.yml"], b"");
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ended.code(), lines.len()), (1, 5));
    assert_eq!((&lines[0]["result"], &lines[1]["result"]), (&"ok".into(), &"failed".into()));
    assert_eq!((&lines[1]["file"], &lines[1]["name"]), (&"tests.yml".into(), &"subset".into()));
    let place = FIELDS.lines().count() as u64 + 6;
    assert_eq!(lines[1]["line"], place, "{}", lines[1]);
    let agent = serde_json::json!({"plugin": "file-log", "path": "agent", "expected": "wget", "got": "curl/8.5.0"});
    assert_eq!(lines[1]["failures"][0], agent);
}

/// Scenario: `--bless` on failing tests, twice.
/// Guarantees: only different values are written; comments, matchers that hold and the rest of the file stay; the next
/// run passes; a second `--bless` changes nothing.
#[test]
fn bless() {
    let home = home(FAILING);
    let ended = home.run(&["test", "--bless", "tests.yml"], b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.ends_with("1 passed, 4 blessed, 0 failed\n"), "{}", ended.stdout);
    let text = std::fs::read_to_string(home.path("tests.yml")).unwrap();
    assert!(text.starts_with(FIELDS), "{text}");
    insta::assert_snapshot!(&text[FIELDS.len()..]);
    let ended = home.run(&["test", "--bless", "tests.yml"], b"");
    assert!(ended.stdout.ends_with("5 passed, 0 failed\n"), "{}", ended.stdout);
    assert_eq!(std::fs::read_to_string(home.path("tests.yml")).unwrap(), text);
    let others = std::fs::read_dir(home.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let others: Vec<_> = others.filter(|name| name != "tests.yml" && name != "data").collect();
    assert!(others.is_empty(), "{others:?}");
}

/// Scenario: results that cannot be blessed: a value that changes each time; an anchor shared with a passing test.
/// Guarantees: the file stays unchanged, the reason is printed, exit code 1.
#[test]
fn bless_refuses() {
    for (text, reason) in [
        ("fields: {a: return math.random()}\ntests: [{name: x, transaction: {}}]\n", "its results differ between runs"),
        (
            "fields: {a: return kong.response.get_status()}\ntransaction: {response: {status: 1}}\ntests:\n\
             - {name: x, expect: &a {fields: {a: {$is: 2}}}}\n\
             - {name: y, with: {response.status: 2}, expect: *a}\n",
            "`y` passes now, but would fail",
        ),
    ] {
        let home = Home::new();
        home.write("tests.yml", text);
        let ended = home.run(&["test", "--bless", "tests.yml"], b"");
        assert_eq!(ended.code(), 1, "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(reason), "{}", ended.stderr);
        assert_eq!(std::fs::read_to_string(home.path("tests.yml")).unwrap(), text);
    }
}

/// Scenario: JSON, and Windows line ends.
/// Guarantees: `--bless` keeps the form, and the tests then pass.
#[test]
fn bless_other_forms() {
    let json = "{\n  \"fields\": {\"a\": \"return 1\"},\n  \"tests\": [\n    {\"name\": \"x\", \"transaction\": {}},\n    \
                {\"name\": \"y\", \"transaction\": {}, \"expect\": {\"fields\": {\"a\": 2}}}\n  ]\n}\n";
    let windows = "fields: {a: return 1}\r\ntests:\r\n- name: x\r\n  transaction: {}   # none\r\n\r\n# more\r\n";
    for (name, text) in [("tests.json", json), ("tests.yml", windows)] {
        let home = Home::new();
        home.write(name, text);
        assert_eq!(home.run(&["test", "--bless", name], b"").code(), 0);
        assert_eq!(home.run(&["test", name], b"").code(), 0);
        let new = std::fs::read_to_string(home.path(name)).unwrap();
        assert_eq!(new.matches("\r\n").count(), if name.ends_with("yml") { new.matches('\n').count() } else { 0 });
        assert_eq!(serde_json::from_str::<Value>(&new).is_ok(), name.ends_with("json"), "{new}");
        assert!(name.ends_with("json") || new.ends_with("# more\r\n"), "{new}");
    }
}

/// Scenario: failing snippets: unexpected, expected, expected with another error, of a plugin that the test does not
/// name; one that never ends; `on_error: drop`.
/// Guarantees: only expected errors pass; other errors are shown with their place.
#[test]
fn errors() {
    let home = Home::new();
    home.write("settings.yml", "plugins: {audit: {on_error: drop}}\n");
    home.write(
        "kong.yml",
        r#"
_format_version: "3.0"
plugins:
- name: file-log
  config: {path: /x, custom_fields_by_lua: {bad: 'error("boom")', good: return 1}}
- name: udp-log
  instance_name: audit
  config: {host: h, port: 1, custom_fields_by_lua: {status: return kong.response.get_status() + 1}}
"#,
    );
    home.write(
        "tests.yml",
        r#"
config: kong.yml
settings: settings.yml
transaction: {response: {status: 1}}
tests:
- name: expected
  expect: {file-log: {fields: {good: 1}, errors: [{field: bad, message: boom}]}, audit: {fields: {status: 2}}}
- name: not expected
  expect: {file-log: {fields: {good: 1}}}
- name: not named
  expect: {audit: {fields: {status: 2}}}
- name: otherwise
  expect: {file-log: {errors: [{field: bad, message: bang}, {field: good}]}}
- name: dropped
  with: {response: null}
  expect: {file-log: {errors: [{field: bad}]}, audit: {none: true, errors: [{field: status}]}}
- name: not dropped
  with: {response: null}
  expect: {file-log: {errors: [{field: bad}]}, audit: {fields: {status: 2}, errors: [{field: status}]}}
"#,
    );
    insta::assert_snapshot!(printed(&run(&home)));
}

/// Scenario: files with every kind of mistake, and missing files.
/// Guarantees: all are shown with place and suggestion; exit code 78 for mistakes, 74 for unreadable files.
#[test]
fn mistakes() {
    let files = [
        (
            "keys",
            "fields: {a: return 1}\nsetings: x\ntests:\n- nmae: x\n  transaction: []\n- name: y\n  expect: {feilds: {}}\n",
        ),
        ("no subject", "tests: []\ntransaction: {}\n"),
        ("two subjects", "fields: {a: return 1}\nplugins: []\ntests: [{name: x, transaction: {}}]\n"),
        (
            "plugins",
            "plugins:\n- {name: file-log, instance_name: audit, config: {path: /x}}\n- {name: pre-function, config: {log: [return]}}\n\
             - {name: tcp-log, config: {host: h, port: 1}}\ntransaction: {}\ntests:\n- name: x\n  expect:\n    adit: {}\n    \
             flie-log: {}\n    http-log: {}\n    pre-function: {message: {}}\n    tcp-log: {none: true, fields: {a: 1}}\n\
             - {name: x, expect: {fields: {}}}\n",
        ),
        (
            "matchers",
            "fields: {a: return 1}\ntransaction: {}\ntests:\n- name: x\n  expect:\n    fields: {a: {$mtches: x}, \
             b: {$matches: '('}, c: {$type: text}, d: {$any: 1}}\n",
        ),
        ("plugin of its own", "plugins: [{name: file-log, config: {paht: /x}}]\ntests: [{name: x, transaction: {}}]\n"),
        ("lua", "fields: {a: 'return ('}\ntests: [{name: x, transaction: {}}]\n"),
        ("yaml", "fields: {a: return 1}\ntests:\n- name: x\n  expect: [a\n"),
        ("with", "fields: {a: return 1}\ntransaction: {a: 1}\ntests:\n- {name: x, with: {'a[2].b': 1}}\n"),
        (
            "number",
            "fields: {a: return 1}\ntransaction_file: two.ndjson\ntests:\n- {name: x}\n- {name: y, transaction_file: two.ndjson, transaction_number: 3}\n",
        ),
        ("number of nothing", "fields: {a: return 1}\ntransaction: {}\ntests: [{name: x, transaction_number: 1}]\n"),
        ("missing", "config: nowhere.yml\ntransaction_file: nowhere.json\ntests: [{name: x}]\n"),
    ];
    let mut all = String::new();
    for (name, text) in files {
        let home = Home::new();
        home.write("two.ndjson", "{\"a\":1}\n{\"a\":2}\n");
        home.write("tests.yml", text);
        let ended = run(&home);
        let code = if name == "missing" { 74 } else { 78 };
        assert_eq!(ended.code(), code, "{name}: {}{}", ended.stdout, ended.stderr);
        all.push_str(&format!("## {name}\n{}\n", printed(&ended)));
    }
    all.push_str(&printed(&Home::new().run(&["test", "nowhere.yml"], b"")));
    insta::assert_snapshot!(all);
}

/// Scenario: several files, one of them invalid; `--filter`; a filter without a match; help.
/// Guarantees: the other files run; the filter selects tests; no match is a failure; the help has examples.
#[test]
fn manners() {
    let home = home(FAILING);
    home.write("wrong.yml", "tests: 1\n");
    let ended = home.run(&["test", "wrong.yml", "tests.yml"], b"");
    assert_eq!(ended.code(), 78);
    assert!(ended.stdout.ends_with("1 passed, 4 failed\n"), "{}", ended.stdout);
    let ended = home.run(&["test", "--filter", "passes", "tests.yml"], b"");
    assert_eq!((ended.code(), ended.stdout.contains("1 passed, 0 failed")), (0, true), "{}", ended.stdout);
    let ended = home.run(&["test", "--filter", "nothing like it", "tests.yml"], b"");
    assert_eq!(ended.code(), 1);
    assert!(ended.stderr.contains("`nothing like it`"), "{}", ended.stderr);
    let help = home.run(&["test", "--help"], b"").stdout;
    assert!(help.contains("logphase test ") && help.contains("--bless"), "{help}");
}

/// Scenario: a test file in another folder than the current one, `env` for variables of kong.yml, an invalid settings
/// file in the current folder.
/// Guarantees: paths are relative to the test file; the variables are used.
#[test]
fn paths() {
    let home = Home::new();
    std::fs::create_dir(home.path("deep")).unwrap();
    home.write("logphase.yml", "nonsense: 1\n");
    home.write(
        "kong.yml",
        "_format_version: '3.0'\nplugins:\n- name: file-log\n  config:\n    path: /x\n    custom_fields_by_lua:\n      \
         where: return \"${{ env \"DECK_WHERE\" }}\"\n",
    );
    home.write("transaction.json", "{\"a\": 1}");
    home.write(
        "deep/tests.yml",
        "config: [../kong.yml]\nenv: {DECK_WHERE: here}\ntransaction_file: ../transaction.json\ntests:\n\
         - {name: x, expect: {message: {a: 1, where: here}}}\n",
    );
    let ended = home.run(&["test", "deep/tests.yml"], b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
}

/// Scenario: the test file in README.md, with a matching configuration.
/// Guarantees: every key and matcher in it is valid, and it passes.
#[test]
fn readme_shows_a_test_file() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = readme.split_once("\n## Test your snippets\n").expect("README.md has the section").1;
    let block = section.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let home = Home::new();
    home.write("logphase.yml", "lua: {max_req_headers: 50}\n");
    home.write(
        "kong.yml",
        r#"
_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: ${{ env "DECK_DATA_DIR" }}/x
    custom_fields_by_lua:
      client_kind: return kong.request.get_header("user-agent"):find("Mozilla") and "browser"
      tries: return {{ip = "10.0.0.1"}}
      customer.name: return kong.client.get_consumer().username
- name: udp-log
  instance_name: audit
  config: {host: h, port: 1, custom_fields_by_lua: {request: return nil, tries: return nil}}
- name: tcp-log
  protocols: [tcp]
  config: {host: h, port: 1}
"#,
    );
    home.write("tests.yml", block);
    let ended = run(&home);
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
}
