//! `{vault://env/NAME}` references in plugins and in snippets.

use serde_json::{Value, json};

use crate::service::{Ended, Home, Nginx, ask, free_port, transaction};

fn said(ended: &Ended) -> String {
    format!("{}{}", ended.stdout, ended.stderr)
}

/// The secrets of the tests, none of which any output may show.
const SECRETS: [(&str, &str); 5] = [
    ("KAFKA_PASSWORD", "hunter2-of-kafka"),
    ("TEAM_TOKEN", "token-of-the-team"),
    ("BAD_KEY", "spaces in-the-token"),
    ("BAD_URL", "no-url-at-all-but-secret"),
    ("FORBIDDEN", "never-to-be-read"),
];

/// A directory with this file, in which all of [`SECRETS`] but the last are allowed.
fn home(kong_yml: &str) -> Home {
    let home = Home::with(kong_yml).set("LOGPHASE_VAULT_ENV_ALLOW", "KAFKA_PASSWORD,TEAM_*,BAD_KEY,BAD_URL,UNSET,PG");
    let home = SECRETS.into_iter().fold(home, |home, (name, value)| home.set(name, value));
    home.set("PG", r#"{"user": "ann", "password": "in-the-json"}"#)
}

fn no_secret(text: &str) {
    for (_, secret) in SECRETS.into_iter().chain([("", "in-the-json")]) {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

const START: &str = "_format_version: \"3.0\"\n";

/// Scenario: references in referenceable fields, at the top, nested, in maps and in certificates, and everything else about
/// vaults: other vaults, variables that are not allowed or not set, other fields, values that do not fit, malformed
/// references, disabled plugins.
/// Guarantees: what can be resolved is accepted; everything else is an error where it stands, which says why; no output shows a
/// secret.
#[test]
fn references_are_resolved_or_refused_where_they_stand() {
    let kafka = |more: &str| {
        format!(
            "{START}plugins:\n- name: kafka-log\n  config:\n    topic: t\n    bootstrap_servers: [{{host: h, port: 1}}]\n\
             {more}\n"
        )
    };
    let sasl = |password: &str| {
        kafka(&format!(
            "    authentication:\n      strategy: sasl\n      mechanism: PLAIN\n      user: '{{vault://env/pg/user}}'\n      \
             password: '{password}'"
        ))
    };
    let http = |fields: &str| format!("{START}plugins:\n- name: http-log\n  config:\n{fields}\n");
    let loggly = |key: &str| format!("{START}plugins:\n- name: loggly\n  config:\n    key: '{key}'\n");
    let vaults = "vaults:\n- {name: env, prefix: own, config: {prefix: team_}}\n- {name: aws, prefix: cloud}\n";
    let url = "    http_endpoint: http://h/\n";
    // The place is the line and the column of the reference; empty if it is accepted.
    let cases: [(String, &str, &str); 22] = [
        (sasl("{vault://env/kafka-password}"), "", ""),
        (sasl("{vault://env/pg/password}"), "", ""),
        (sasl("{vault://aws/kafka/password}"), "11:17", "the vault `aws` is one that only Kong reaches"),
        (sasl("{vault://env/forbidden}"), "11:17", "vault.env.allow does not name the environment variable FORBIDDEN"),
        (sasl("{vault://env/unset}"), "11:17", "the environment variable UNSET is not set"),
        (sasl("{vault://env/pg/none}"), "11:17", "PG is not a JSON object with a text or number at `none`"),
        (sasl("{vault://env}"), "11:17", "it names no secret"),
        (kafka("    key_query_arg: '{vault://env/team-token}'"), "7:20", "Kong resolves none in this field"),
        (
            kafka(
                "    schema_registry: {confluent: {url: 'http://r', authentication: {mode: basic, basic: {username: u, \
                   password: '{vault://env/forbidden}'}}}}",
            ),
            "7:113",
            "vault.env.allow does not name",
        ),
        (kafka("    record_headers: {a: '{vault://env/team-token}'}"), "7:25", "Kong resolves none in this field"),
        (http(&format!("{url}    headers: {{X-Key: '{{vault://env/team-token}}'}}")), "", ""),
        (http(&format!("{url}    headers: {{X-Key: '{{vault://gcp/x}}'}}")), "6:22", "the vault `gcp`"),
        (http("    http_endpoint: '{vault://env/bad-url}'"), "5:20", "is not a value of this field"),
        (loggly("{vault://env/team-token}"), "", ""),
        (loggly("{vault://env/bad-key}"), "5:10", "is not a value of this field"),
        (loggly("{vault://own/token}") + vaults, "", ""),
        (loggly("{vault://own/unset}") + vaults, "5:10", "the environment variable TEAM_UNSET is not set"),
        (loggly("{vault://cloud/token}") + vaults, "5:10", "the vault `cloud` is of the kind `aws`"),
        (loggly("{vault://nobody/token}") + vaults, "5:10", "there is no vault `nobody`"),
        (format!("{}  enabled: false\n", loggly("{vault://env/forbidden}")), "", ""),
        (
            format!(
                "{START}certificates:\n- id: 5c8f6e0a-6d43-4c9c-9ae0-3a0f0b8f6a11\n  cert: '{{vault://env/forbidden}}'\n  \
                 key: k\nplugins:\n- name: kafka-log\n  config: {{topic: t, bootstrap_servers: [{{host: h, port: 1}}], security: \
                 {{ssl: true, certificate_id: 5c8f6e0a-6d43-4c9c-9ae0-3a0f0b8f6a11}}}}\n"
            ),
            "4:9",
            "the certificate of plugin `kafka-log`",
        ),
        (loggly("k") + "vaults:\n- {name: env, prefix: own, config: {prefx: X_}}\n", "7:37", "unknown field `prefx`"),
    ];
    for (text, place, problem) in cases {
        let home = home(&text);
        let ended = home.run(&["check", "kong.yml", "--format", "short"], b"");
        let said = said(&ended);
        no_secret(&said);
        no_secret(&self::said(&home.run(&["check", "kong.yml"], b"")));
        match place {
            "" => assert_eq!(ended.code(), 0, "{text}\n{said}"),
            place => {
                assert_eq!(ended.code(), 78, "{text}\n{said}");
                let line = said.lines().find(|line| line.contains(problem));
                let line = line.unwrap_or_else(|| panic!("{problem} is not in\n{said}"));
                assert!(line.starts_with(&format!("kong.yml:{place}: error[K")), "{line}, not {place}\n{text}");
            }
        }
    }
}

/// Scenario: references that snippets name, and one that they compute; a reference in a setting.
/// Guarantees: what can never have a value is refused with its line; an allowed variable that is not set is not; at run time
/// a snippet gets the values of allowed variables and nil with a reason for all others, and `kong.vault` offers nothing
/// else; settings take no references.
#[test]
fn snippets_read_what_is_allowed() {
    let log = |lua: &str| {
        let plugin = json!({"name": "file-log", "config": {"path": "/tmp/x.log", "custom_fields_by_lua": {"v": lua}}});
        json!({"_format_version": "3.0", "plugins": [plugin], "vaults": [
            {"name": "env", "prefix": "own", "config": {"prefix": "TEAM_"}},
        ]})
        .to_string()
    };
    for (lua, problem) in [
        ("\n\nreturn kong.vault.get('{vault://env/forbidden}')", "vault.env.allow does not name"),
        ("\n\nlocal v = kong.vault return v.get '{vault://hcv/x/y}'", "the vault `hcv` is one that only Kong reaches"),
    ] {
        let ended = home(&log(lua)).run(&["check", "kong.yml"], b"");
        assert_eq!(ended.code(), 78, "{}", said(&ended));
        assert!(said(&ended).contains(problem) && said(&ended).contains("K0213"), "{}", said(&ended));
    }
    for (lua, expected) in [
        ("return kong.vault.get('{vault://env/team-token}')", json!("token-of-the-team")),
        ("return kong.vault.get('{vault://own/token}')", json!("token-of-the-team")),
        ("return kong.vault.get('{vault://env/pg/user}')", json!("ann")),
        ("return kong.vault.get('{vault://env/unset}') or 'default'", json!("default")),
        (
            "return {kong.vault.get('{vault://' .. 'env/forbidden}')}",
            json!([
                null,
                "could not get value from vault: the setting vault.env.allow does not name the environment \
                          variable FORBIDDEN [{vault://env/forbidden}]"
            ]),
        ),
        ("return kong.vault.is_reference('{vault://env/x}')", json!(true)),
        ("return kong.vault.is_reference('x')", json!(false)),
        (
            "local r = kong.vault.parse_reference('{vault://my-pg/db/user?prefix=a#2}') \
             return {r.name, r.resource, r.key, r.version, r.config.prefix}",
            json!(["my-pg", "db", "user", 2, "a"]),
        ),
        (
            "return select(2, kong.vault.parse_reference('x'))",
            json!("the reference is malformed: it has no {vault://...} [x]"),
        ),
        ("return {pcall(kong.vault.get)}", json!([false, "reference must be a string, not nil"])),
    ] {
        let home = home(&log(lua));
        let ended = home.run(&["try", "kong.yml", "--json"], transaction(1).to_string().as_bytes());
        let line: Value = serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
        let value = &line["message"]["v"];
        assert_eq!(*value, expected, "{lua}: {}", said(&ended));
    }
    for name in ["update", "try", "flush", "warmup"] {
        let ended = home(&log(&format!("return kong.vault.{name}({{}})")))
            .run(&["try", "kong.yml", "--json"], transaction(1).to_string().as_bytes());
        assert!(
            ended.stdout.contains(&format!("kong.vault.{name} is not available in the sandbox")),
            "{}",
            said(&ended)
        );
    }
    let ended =
        home(&log("return 1")).set("LOGPHASE_REDACT_KEY", "{vault://env/team-token}").run(&["check", "kong.yml"], b"");
    assert_eq!(ended.code(), 78);
    assert!(said(&ended).contains("is a vault reference"), "{}", said(&ended));
}

/// Scenario: a service with an http-log whose URL and header come from the environment; a real receiver; the service's
/// status, metrics and log at the lowest level.
/// Guarantees: the receiver gets the secrets, and nothing that the service shows has one.
#[test]
fn secrets_reach_the_receiver_and_nothing_else() {
    let nginx = Nginx::start("");
    let status = free_port();
    let config = json!({
        "_format_version": "3.0",
        "plugins": [{"name": "http-log", "config": {
            "http_endpoint": "{vault://env/team-url}", "headers": {"X-Key": "{vault://env/team-token}"},
        }}],
    });
    let home = home(&config.to_string())
        .set("TEAM_URL", format!("http://me:in-the-json@127.0.0.1:{}/log", nginx.port))
        .set("LOGPHASE_LOG_LEVEL", "trace")
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let mut service = home.start();
    service.accept(transaction(1).to_string());
    nginx.wait_for(1);
    let posted = nginx.posted();
    assert_eq!(posted[0].facts["x_key"], "token-of-the-team");
    assert!(posted[0].facts["authorization"].starts_with("Basic "), "{:?}", posted[0].facts);
    for path in ["/status", "/metrics"] {
        no_secret(&ask(status, "GET", path, "").2);
    }
    assert_eq!(service.stop(), 0);
    no_secret(&service.log());
}
