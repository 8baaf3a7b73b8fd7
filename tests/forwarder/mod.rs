//! `logphase forwarder`: what it prints runs in a real nginx with its Lua module, which proxies real requests.

mod gateway;
mod guide;
mod round_trip;

use serde_json::{Value, json};

use crate::service::{Authority, Home, configuration, transaction};

/// A configuration whose snippets need a member of the context each.
fn home(fields: &Value) -> Home {
    let home = Home::new();
    let plugins =
        json!([{"name": "file-log", "config": {"path": home.text("file.log"), "custom_fields_by_lua": fields}}]);
    home.write("kong.yml", &configuration(&plugins));
    home
}

/// Scenario: snippets that read several things, one of them twice; the configuration that is printed for them, as YAML and
/// as JSON, is checked by the program itself.
/// Guarantees: both are valid and say the same; the comments name each member and who reads it; what cannot be sent is on
/// standard error with its line.
#[test]
fn what_is_printed_is_valid() {
    let home = home(&json!({
        "tenant": "return kong.ctx.shared.tenant",
        "again": "return kong.ctx.shared.tenant .. ngx.var.server_name",
        "dynamic": "local name = 'x'\nreturn ngx.var[name]",
        "own": "return kong.ctx.plugin.x",
    }));
    let yaml = home.run(&["forwarder", "kong.yml", "--with", "_context.vars.zone"], b"");
    assert_eq!(yaml.code(), 0, "{}", yaml.stderr);
    for text in [
        "_context.shared.tenant: `tenant` of file-log, `again` of file-log",
        "_context.vars.server_name",
        "put(function() return ngx.var.zone end, \"vars\", \"zone\")",
    ] {
        assert!(yaml.stdout.contains(text), "{text} is missing:\n{}", yaml.stdout);
    }
    for text in [
        "`dynamic` of file-log reads a variable of nginx whose name is computed",
        "kong.ctx.plugin.x, which cannot be sent",
    ] {
        assert!(yaml.stderr.contains(text), "{text} is missing:\n{}", yaml.stderr);
    }
    let json = home.run(&["forwarder", "kong.yml", "--with", "_context.vars.zone", "--format", "json"], b"");
    home.write("forwarder.yml", &yaml.stdout);
    home.write("forwarder.json", &json.stdout);
    for file in ["forwarder.yml", "forwarder.json"] {
        let checked = home.run(&["check", file], b"");
        assert_eq!(checked.code(), 0, "{}", checked.stdout);
        assert!(checked.stdout.contains("ok: 2 plugins, 1 Lua snippet"), "{}", checked.stdout);
    }
    // The snippet of the log phase is the same text, whichever form it was read from.
    let tried = |file: &str| home.run(&["try", file, "--json"], transaction(1).to_string().as_bytes()).stdout;
    assert_eq!(tried("forwarder.yml"), tried("forwarder.json"));
    let value: Value = serde_json::from_str(&json.stdout).unwrap();
    let lua = value["plugins"][1]["config"]["log"][0].as_str().unwrap();
    let indented: String = lua.lines().map(|line| format!("{}\n", format!("          {line}").trim_end())).collect();
    assert!(yaml.stdout.contains(&indented), "{}", yaml.stdout);
}

/// Scenario: a configuration that needs nothing; endpoints, releases and members that do not exist.
/// Guarantees: only http-log is printed, with the endpoint of the settings or of the command line; what is wrong is refused.
#[test]
fn arguments_are_checked() {
    let home = home(&json!({"agent": "return kong.request.get_header('user-agent')"}));
    let printed = home.run(&["forwarder", "kong.yml", "--format", "json"], b"");
    let value: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(value["plugins"].as_array().map(Vec::len), Some(1));
    let endpoint = format!("http://127.0.0.1:{}/", home.http);
    assert_eq!(value["plugins"][0]["config"]["http_endpoint"], json!(endpoint));
    let other = "https://logphase.example:9080/x";
    let printed = home.run(&["forwarder", "kong.yml", "--endpoint", other, "--kong-version", "3.10.0.2"], b"");
    assert!(printed.stdout.contains(&format!("http_endpoint: \"{other}\"")), "{}", printed.stdout);
    for (arguments, expected) in [
        (["--endpoint", "logphase:9080"], "like http://127.0.0.1:9080/"),
        (["--kong-version", "3.3"], "from 3.4 on"),
        (["--kong-version", "new"], "like 3.10"),
        (["--with", "request.headers.host"], "_context.vars.NAME"),
    ] {
        let ended = home.run(&[&["forwarder", "kong.yml"][..], &arguments].concat(), b"");
        assert!(ended.code() == 2 && ended.stderr.contains(expected), "{arguments:?}: {}", ended.stderr);
    }
}

/// Scenario: settings with TLS and a token for the HTTP input.
/// Guarantees: Kong sends to https, with a token from its own environment; the token itself is not printed.
#[test]
fn settings_of_the_input_count() {
    let home = home(&json!({"tenant": "return kong.ctx.shared.tenant"}));
    let (certificate, key) = Authority::new().issue("localhost");
    home.write("cert.pem", &certificate);
    home.write("key.pem", &key);
    let variables = [
        ("LOGPHASE_HTTP_TLS_CERTIFICATE", home.text("cert.pem")),
        ("LOGPHASE_HTTP_TLS_PRIVATE_KEY", home.text("key.pem")),
        ("LOGPHASE_HTTP_AUTH_TOKENS", "a-token-of-some-length".to_owned()),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let printed = home.run_with(&variables, &["forwarder", "kong.yml"]);
    assert_eq!(printed.code(), 0, "{}", printed.stderr);
    let endpoint = format!("http_endpoint: \"https://127.0.0.1:{}/\"", home.http);
    for text in [endpoint.as_str(), "authorization: \"{vault://env/logphase-authorization}\"", "LOGPHASE_AUTHORIZATION"]
    {
        assert!(printed.stdout.contains(text), "{text} is missing:\n{}", printed.stdout);
    }
    assert!(!printed.stdout.contains("a-token-of"), "{}", printed.stdout);
    // The check has nothing to say but that Kong alone resolves the reference.
    home.write("forwarder.yml", &printed.stdout);
    let checked = home.run(&["check", "--format", "short", "forwarder.yml"], b"").stdout;
    let findings: Vec<&str> = checked.lines().filter(|line| line.contains("error[")).collect();
    assert!(findings.len() == 1 && findings[0].contains("vault"), "{checked}");
}

/// Scenario: `check --input kong` without a service, and with one whose input had a thousand transactions, each with one of
/// the two members that snippets read; `try` with a transaction that has one of them.
/// Guarantees: without a service both are warned of; with it, only the one that was never there, with the number of
/// transactions; `try` names the one that is missing.
#[test]
fn what_transactions_never_have_is_warned_of() {
    let home = home(&json!({"tenant": "return kong.ctx.shared.tenant", "server": "return ngx.var.server_name"}));
    let plain = home.run(&["check", "--input", "kong", "kong.yml"], b"");
    assert_eq!(plain.code(), 0);
    for member in ["_context.shared.tenant is missing", "_context.vars.server_name is missing"] {
        assert!(plain.stdout.contains(member), "{}", plain.stdout);
    }
    let quiet = home.run(&["check", "--input", "tcp", "kong.yml"], b"");
    assert!(!quiet.stdout.contains("is missing"), "without a service nothing is known of tcp: {}", quiet.stdout);

    let with_context = |id| {
        let mut transaction = transaction(id);
        transaction["_context"] = json!({"shared": {"tenant": "acme"}});
        transaction
    };
    let tried = home.run(&["try", "kong.yml"], with_context(1).to_string().as_bytes());
    assert_eq!(tried.code(), 0);
    let expected = "`server` of file-log reads ngx.var.server_name: the transaction does not have it";
    assert!(tried.stderr.contains(expected) && !tried.stderr.contains("shared.tenant is missing"), "{}", tried.stderr);

    let service = home.start();
    for first in (0..1000).step_by(100) {
        let batch: Vec<_> = (first..first + 100).map(with_context).collect();
        service.accept(Value::from(batch).to_string());
    }
    for input in ["kong", "http"] {
        let checked = service.home.run(&["check", "--input", input, "kong.yml"], b"");
        let expected = "none of the last 1000 transactions of the input http had it";
        assert!(checked.stdout.contains(expected), "{}", checked.stdout);
        assert!(!checked.stdout.contains("shared.tenant is missing"), "{}", checked.stdout);
    }
    let refused = service.home.run(&["check", "--input", "nothing", "kong.yml"], b"");
    assert!(
        refused.code() == 2 && refused.stderr.contains("expected kong or the name of an input"),
        "{}",
        refused.stderr
    );
}
