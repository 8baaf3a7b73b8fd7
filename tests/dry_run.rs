//! `logphase try`, and options that all commands share.

use serde_json::{Value, json};

use crate::service::{Home, transaction};

/// Scenario: fields on the command line without a configuration file; a transaction from a file.
/// Guarantees: the message with these fields, exit code 0; nothing is delivered.
#[test]
fn fields_without_a_file() {
    let home = Home::new();
    home.write("transaction.json", &serde_json::to_string_pretty(&transaction(5)).unwrap());
    let arguments = [
        "try",
        "--field",
        "header=return kong.request.get_header('h1')",
        "--field",
        r"my_file.log\.field=return 1 == 1",
        "--field",
        "route=return nil",
        "--transaction",
        "transaction.json",
    ];
    let ended = home.run(&[&arguments[..], &["--json"]].concat(), b"");
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let line: Value = serde_json::from_str(ended.stdout.trim()).unwrap();
    let mut expected = transaction(5);
    expected["request"]["headers"]["authorization"] = json!("REDACTED");
    expected.as_object_mut().unwrap().remove("route");
    expected["header"] = json!("v5");
    expected["my_file"] = json!({"log.field": true});
    assert_eq!(line["message"], expected);
    assert_eq!((&line["errors"], &line["instance_name"]), (&json!([]), &Value::Null));
    assert!(line["plugin"].is_string());

    let people = home.run(&arguments, b"");
    assert_eq!(people.code(), 0);
    assert!(people.stdout.contains("v5") && people.stdout.contains("log.field"), "{}", people.stdout);
}

/// Scenario: a field that fails at run time, one that does not compile, an invalid transaction.
/// Guarantees: the first is in `errors` with its name; the second and third end with a non-zero exit code and an
/// explanation.
#[test]
fn mistakes() {
    let home = Home::new();
    let input = format!("{}\n", transaction(1));
    let ended =
        home.run(&["try", "--json", "--field", "bad=error('boom')", "--field", "good=return 1"], input.as_bytes());
    let line: Value = serde_json::from_str(ended.stdout.trim()).unwrap();
    assert_eq!((&line["errors"][0]["field"], &line["message"]["good"]), (&json!("bad"), &json!(1)));
    assert!(line["errors"][0]["message"].as_str().unwrap().contains("boom"), "{line}");
    for (field, input, expected) in [("bad=return (", &*input, "bad"), ("good=return 1", "{nonsense}\n", "line 1")] {
        let ended = home.run(&["try", "--json", "--field", field], input.as_bytes());
        assert!(ended.code() > 0 && ended.code() != 101, "{}", ended.code());
        assert!(ended.stderr.contains(expected) || ended.stdout.contains(expected), "{}{}", ended.stdout, ended.stderr);
    }
}

/// Scenario: http-log, syslog, loggly, kafka-log and file-log, tried without receivers.
/// Guarantees: a message of each, in descending priority.
#[test]
fn plugins_without_receivers() {
    let home = Home::with(
        "_format_version: '3.0'\nplugins:\n- {name: syslog}\n- {name: file-log, config: {path: /tmp/x}}\n- {name: loggly, config: {key: k}}\n\
         - {name: kafka-log, config: {topic: t, bootstrap_servers: [{host: h, port: 9092}]}}\n\
         - {name: http-log, config: {http_endpoint: 'http://127.0.0.1:9'}}\n",
    );
    let ended = home.run(&["try", "--json", "kong.yml"], transaction(1).to_string().as_bytes());
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let plugins: Vec<_> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["plugin"].as_str().unwrap().to_owned())
        .collect();
    let position = |name: &str| plugins.iter().position(|plugin| plugin == name).unwrap_or(usize::MAX);
    assert_eq!(plugins.len(), 5, "{plugins:?}");
    assert!(position("http-log") < position("file-log") && position("file-log") < position("loggly"), "{plugins:?}");
    assert!(position("loggly") < position("syslog") && position("syslog") < usize::MAX, "{plugins:?}");
}

/// Scenario: `--help` of commands, `--version`, completions for common shells, an unknown command.
/// Guarantees: each help text has an example; completions name the commands; an unknown command exits with code 2.
#[test]
fn manners() {
    let home = Home::new();
    for command in ["run", "check", "try"] {
        let ended = home.run(&[command, "--help"], b"");
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        assert!(ended.stdout.contains(&format!("logphase {command} ")), "no example:\n{}", ended.stdout);
    }
    for shell in ["bash", "zsh", "fish"] {
        let ended = home.run(&["completions", shell], b"");
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        assert!(ended.stdout.contains("check"), "{shell}");
    }
    let ended = home.run(&["--version"], b"");
    assert_eq!(ended.stdout.trim(), format!("logphase {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(home.run(&["rnu"], b"").code(), 2);
}

/// Scenario: odd numbers, strings and keys, without and with `kong_quirks`.
/// Guarantees: by default the documented output, to the byte; with the setting Kong's exact output.
#[test]
fn quirks() {
    let home = Home::with(
        r#"
_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /tmp/unused.log
    custom_fields_by_lua:
      large: return 2 ^ 53
      third: return 1 / 3
      slash: return 'a/b'
      delete: return '\127'
      back\slash: return 1
      none.below: return nil
"#,
    );
    let expect = |home: &Home, expected: &[&str], unexpected: &str| {
        let ended = home.run(&["try", "--json", "kong.yml"], b"{\"kept\": 1.50e3}");
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        for text in expected {
            assert!(ended.stdout.contains(text), "{text} is not in {}", ended.stdout);
        }
        assert!(!ended.stdout.contains(unexpected), "{unexpected} is in {}", ended.stdout);
    };
    let third = "\"third\":0.33333333333333";
    let sensible = [
        "\"large\":9007199254740992",
        third,
        "\"slash\":\"a/b\"",
        "\"delete\":\"\u{7f}\"",
        "\"back\\\\slash\":1",
        "\"kept\":1.50e3",
    ];
    expect(&home, &sensible, "none");
    let kong = [
        "\"large\":9.007199254741e+15",
        third,
        "\"slash\":\"a\\/b\"",
        "\"delete\":\"\\u007f\"",
        "\"back.lash\":1",
        "\"none\":{}",
    ];
    expect(&home.set("LOGPHASE_KONG_QUIRKS", "true"), &kong, "9007199254740992");
}

/// Scenario: `run` without a configuration.
/// Guarantees: the service accepts transactions, and messages arrive in a file in the data directory.
#[test]
fn quickstart() {
    let mut service = Home::new().start_with(&["run"]);
    service.accept(transaction(1).to_string());
    let path = service.home.path("data").join("messages.log");
    crate::service::wait_until("the message has arrived", || crate::service::Messages::read(&path).counts.len() == 1);
    assert_eq!(service.stop(), 0);
}
