//! decK's commands against the Admin API: sync, diff, dump, reset and validate. decK itself cannot be installed from a registry of
//! packages: its requests, its defaults and its comparison are here as they are in its source (Apache-2.0), written anew.

mod defaults;
mod steps;

use serde_json::{Value, json};

use self::steps::{Deck, File};
use super::Admin;
use crate::service::{Authority, Home, wait_until};

const TOKEN: &str = "secret";

/// A service with a token: without it, secrets are masked, and differ from those of the file.
fn start() -> (Admin, Deck) {
    let admin = Admin::start_in(Home::new().set("LOGPHASE_ADMIN_TOKEN", TOKEN));
    let deck = Deck::new(admin.port, TOKEN);
    (admin, deck)
}

/// What a file says of the `config` of each plugin.
fn configs(home: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("datadog", json!({"metrics": [{"name": "latency", "stat_type": "timer", "tags": ["a:b"]}]})),
        ("file-log", json!({"path": format!("{home}/messages"), "custom_fields_by_lua": {"a.b": "return 1"}})),
        (
            "http-log",
            json!({
                "http_endpoint": "https://me:pa55@logs.test/x", "headers": {"X-Team": "a", "X-Api-Key": "5ecret"},
                "queue": {"max_batch_size": 10},
            }),
        ),
        (
            "kafka-log",
            json!({
                "bootstrap_servers": [{"host": "127.0.0.1", "port": 1}], "topic": "log",
                "authentication": {"strategy": "sasl", "mechanism": "PLAIN", "user": "me", "password": "pa55"},
            }),
        ),
        ("loggly", json!({"key": "a-key", "tags": ["b", "a"], "log_level": "debug"})),
        (
            "opentelemetry",
            json!({"access_logs": {"endpoint": "http://127.0.0.1:1/v1/logs"}, "resource_attributes": {"a": "b"}}),
        ),
        ("post-function", json!({"log": ["return 1"]})),
        ("pre-function", json!({"log": ["return 1"], "access": ["return 2"]})),
        (
            "statsd",
            json!({"metrics": [{"name": "request_count", "stat_type": "counter", "sample_rate": 1}, {"name": "latency", "stat_type": "timer"}]}),
        ),
        ("syslog", json!({"facility": "local0"})),
        ("tcp-log", json!({"host": "127.0.0.1", "port": 1, "tls": true, "tls_sni": "logs.test"})),
        ("udp-log", json!({"host": "127.0.0.1", "port": 1})),
    ]
}

/// Whether a plugin may have the scope `scope`, by its schema.
fn may_be_on(schema: &Value, scope: &str) -> bool {
    let fields = schema["fields"].as_array().unwrap();
    !fields.iter().any(|field| field[scope].as_object().is_some_and(|field| field.get("eq") == Some(&Value::Null)))
}

/// Every plugin at every scope that it may have, and one on two entities together.
fn plugins(deck: &Deck, home: &str) -> File {
    let configs = configs(home);
    let named: Vec<&str> = configs.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, deck.plugins().keys().map(String::as_str).collect::<Vec<_>>(), "a `config` for each plugin");
    let scopes = [
        ("service", json!({"name": "service-0"})),
        ("route", json!({"name": "route-0"})),
        ("consumer", json!({"username": "consumer-0"})),
        ("consumer_group", json!({"name": "group-0"})),
    ];
    let mut file = File::new();
    for (name, config) in configs {
        file.push(("plugins", json!({"name": name, "config": config, "tags": ["all"]})));
        for (scope, entity) in scopes.iter().filter(|(scope, _)| may_be_on(&deck.plugins()[name], scope)) {
            file.push((
                "plugins",
                json!({"name": name, "config": config, *scope: entity, "enabled": *scope != "route"}),
            ));
        }
    }
    let config = json!({"path": format!("{home}/both")});
    file.push((
        "plugins",
        json!({"name": "file-log", "config": config, scopes[0].0: scopes[0].1, scopes[2].0: scopes[2].1}),
    ));
    file
}

/// 50 services, 200 routes, 100 consumers, all plugins, and some of everything else.
fn file(deck: &Deck, home: &str) -> File {
    let mut file = File::new();
    for at in 0..50 {
        let mut service = json!({"name": format!("service-{at}"), "host": format!("{at}.test"), "tags": ["b", "a"]});
        if at % 7 == 0 {
            service["port"] = 8443.into();
            service["protocol"] = "https".into();
            service["path"] = "/base".into();
            service["tls_verify"] = false.into();
        }
        file.push(("services", service));
    }
    for at in 0..200 {
        let service = json!({"name": format!("service-{}", at / 4)});
        let mut route =
            json!({"name": format!("route-{at}"), "paths": [format!("/{at}"), "~/x/(a|b)$"], "service": service});
        match at % 10 {
            1 => route["headers"] = json!({"x-a": ["1", "2"]}),
            2 => route["methods"] = json!(["POST", "GET"]),
            3 => route["hosts"] = json!(["*.b.test", "a.test"]),
            4 => {
                route["protocols"] = json!(["grpc"]);
                route["strip_path"] = false.into();
            }
            5 => {
                route = json!({"name": format!("route-{at}"), "service": service, "protocols": ["tls"], "snis": ["a.test"],
                    "sources": [{"ip": "10.0.0.0/8", "port": 80}], "destinations": [{"port": 443}], "strip_path": false});
            }
            _ => {}
        }
        file.push(("routes", route));
    }
    for at in 0..100 {
        file.push((
            "consumers",
            json!({"username": format!("consumer-{at}"), "custom_id": format!("id {at}"), "tags": ["a"]}),
        ));
    }
    for at in 0..3 {
        file.push(("consumer_groups", json!({"name": format!("group-{at}"), "tags": ["a"]})));
        let consumer = json!({"username": format!("consumer-{at}")});
        file.push(("members", json!({"consumer_group": {"name": format!("group-{at}")}, "consumer": consumer})));
        file.push(("acls", json!({"group": "admins", "consumer": consumer})));
    }
    file.push(("upstreams", json!({"name": "upstream", "healthchecks": {"active": {"healthy": {"interval": 5}}}})));
    for target in ["10.0.0.1:80", "10.0.0.2:8080"] {
        file.push(("targets", json!({"target": target, "upstream": {"name": "upstream"}})));
    }
    let authority = Authority::new();
    let (cert, key) = authority.issue("a.test");
    file.push(("snis", json!({"name": "a.test", "certificate": {"cert": cert}})));
    file.push(("certificates", json!({"cert": cert, "key": key})));
    file.push(("ca_certificates", json!({"cert": authority.pem()})));
    file.push(("vaults", json!({"prefix": "my-env", "name": "env", "config": {"prefix": "MY_"}})));
    file.extend(plugins(deck, home));
    file
}

/// The entities of `file` as texts, in an order of their own.
fn sorted(file: &File) -> Vec<String> {
    let text = |(kind, entity): &(&str, Value)| format!("{kind} {}", defaults::comparable(&Value::Null, entity));
    let mut texts: Vec<String> = file.iter().map(text).collect();
    texts.sort();
    texts
}

#[track_caller]
fn assert_equal(left: &File, right: &File) {
    for (left, right) in sorted(left).iter().zip(sorted(right)) {
        assert_eq!(*left, right);
    }
    assert_eq!(left.len(), right.len());
}

#[track_caller]
fn assert_no_differences(deck: &Deck, file: &File) {
    let differences = deck.differences(file);
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Scenario: decK validates a file with 50 services, 200 routes, 100 consumers and every plugin at every scope, brings it into an empty
/// database, compares, and writes it out; the result is brought into another database; then both are emptied. Guarantees: the file is
/// valid; nothing differs after the sync; what is written out is the file with defaults, and makes the same entities elsewhere; nothing is
/// left after the reset.
#[test]
fn sync_diff_dump_and_reset() {
    let (admin, deck) = start();
    let file = file(&deck, admin.service.home.text("").trim_end_matches('/'));
    assert_eq!(deck.validate(&file), Vec::<String>::new());
    assert_eq!(deck.sync(&file), [file.len(), 0, 0]);
    assert_no_differences(&deck, &file);
    assert_eq!(deck.sync(&file), [0, 0, 0]);
    // However many writes there are, each has a line.
    let audited = || admin.service.log().matches("admin: created ").count();
    wait_until(&format!("{} writes are audited", file.len()), || audited() == file.len());
    let current = deck.read();
    let dump = deck.dump();
    assert_equal(&dump, &deck.portable(&deck.target(&file, &current)));
    let (_other, there) = start();
    // Files of plugins have to be below the directory of their service.
    let elsewhere: File = dump.into_iter().filter(|(_, entity)| entity["name"] != "file-log").collect();
    assert_eq!(there.sync(&elsewhere), [elsewhere.len(), 0, 0]);
    assert_no_differences(&there, &elsewhere);
    assert_equal(&there.dump(), &elsewhere);
    for (deck, count) in [(&deck, file.len()), (&there, elsewhere.len())] {
        assert_eq!(deck.sync(&File::new()), [0, 0, count]);
        assert!(deck.read().values().all(std::collections::BTreeMap::is_empty));
    }
}

/// Scenario: after a sync, the file changes: a service's port, a plugin's nested field, a new plugin, a consumer and its plugin gone, a
/// plugin that gets another id. Guarantees: decK sees these changes and no other, makes them, and nothing differs after that.
#[test]
fn changes_of_a_file() {
    let (admin, deck) = start();
    let mut file = file(&deck, admin.service.home.text("").trim_end_matches('/'));
    deck.sync(&file);
    let at = |file: &File, kind: &str, is: &dyn Fn(&Value) -> bool| {
        file.iter().position(|(found, entity)| *found == kind && is(entity)).unwrap()
    };
    let service = at(&file, "services", &|service| service["name"] == "service-1");
    file[service].1["port"] = 81.into();
    let http = at(&file, "plugins", &|plugin| plugin["name"] == "http-log" && plugin.get("service").is_some());
    file[http].1["config"]["queue"]["max_batch_size"] = 11.into();
    let target = at(&file, "targets", &|_| true);
    file[target].1["weight"] = 5.into();
    let group = at(&file, "consumer_groups", &|_| true);
    file[group].1["tags"] = json!(["b"]);
    let consumer = at(&file, "consumers", &|consumer| consumer["username"] == "consumer-99");
    file.remove(consumer);
    file.push((
        "plugins",
        json!({"name": "udp-log", "config": {"host": "h", "port": 1}, "route": {"name": "route-7"}}),
    ));
    let syslog = at(&file, "plugins", &|plugin| plugin["name"] == "syslog" && plugin.get("tags").is_some());
    file[syslog].1["id"] = json!("3f8c2f52-8f4c-4f0e-9a6a-2d1c2b3a4f50");
    assert_eq!(deck.sync(&file), [2, 4, 2]);
    assert_no_differences(&deck, &file);
    let plugin = deck.read()["plugins"]["3f8c2f52-8f4c-4f0e-9a6a-2d1c2b3a4f50"].clone();
    assert_eq!(plugin["name"], "syslog");
}

/// Scenario: a file with old fields of plugins, with fields that are null, with fields that Kong lacks, and with a plugin that runs in
/// Kong alone. Guarantees: nothing differs after the sync.
#[test]
fn old_fields_nulls_and_plugins_of_kong() {
    let (_admin, deck) = start();
    let deck = deck.knowing("key-auth");
    let of_logphase = json!({
        "host": "h", "port": 1, "queue": {"max_batch_size": 5}, "redact": [{"header": "a"}], "include_body": "request",
    });
    let file: File = [
        json!({"name": "tcp-log", "config": of_logphase}),
        json!({"name": "opentelemetry", "config": {"endpoint": "http://127.0.0.1:1/v1/traces"}}),
        json!({"name": "http-log", "config": {"http_endpoint": "http://h/", "queue_size": 5, "headers": null}}),
        json!({"name": "pre-function", "config": {"functions": ["return 1"]}}),
        json!({"name": "key-auth", "config": {"key_names": ["apikey"], "hide_credentials": false, "anonymous": null}}),
    ]
    .map(|plugin| ("plugins", plugin))
    .into();
    assert_eq!(deck.sync(&file), [5, 0, 0]);
    assert_no_differences(&deck, &file);
}

/// Scenario: two teams keep their entities in one database, each with its own tag. Guarantees: each reads and changes its own alone.
#[test]
fn tags_select() {
    let (admin, all) = start();
    let of = |tag: &'static str| Deck::new(admin.port, TOKEN).selecting(tag);
    let (one, two) = (of("one"), of("two"));
    let file = |tag: &str| -> File {
        let name = format!("{tag}-service");
        vec![
            ("services", json!({"name": name, "host": "h", "tags": [tag]})),
            ("routes", json!({"name": tag, "paths": ["/"], "service": {"name": name}, "tags": [tag]})),
            (
                "plugins",
                json!({"name": "udp-log", "config": {"host": "h", "port": 1}, "service": {"name": name}, "tags": [tag]}),
            ),
        ]
    };
    assert_eq!(one.sync(&file("one")), [3, 0, 0]);
    assert_eq!(two.sync(&file("two")), [3, 0, 0]);
    assert_eq!(one.sync(&file("one")), [0, 0, 0]);
    assert_eq!(one.sync(&File::new()), [0, 0, 3]);
    assert_no_differences(&two, &file("two"));
    assert_no_differences(&all, &file("two"));
}

/// Scenario: `gateway validate` of files with errors. Guarantees: each is refused with Kong's message, and nothing is stored.
#[test]
fn validation_refuses() {
    let (_admin, deck) = start();
    let file: File = vec![
        ("services", json!({"name": "a", "host": "h", "port": 70000})),
        ("routes", json!({"name": "b", "paths": ["x"]})),
        ("consumers", json!({"username": "c", "custom_id": "d", "nickname": "e"})),
        ("plugins", json!({"name": "http-log", "config": {"method": "POST"}})),
        (
            "plugins",
            json!({"name": "file-log", "config": {"path": "/tmp/x", "custom_fields_by_lua": {"a": "return ("}}}),
        ),
    ];
    let messages = deck.validate(&file);
    assert_eq!(messages.len(), file.len(), "{messages:?}");
    for expected in [
        "port: value should be between 0 and 65535",
        "paths.1: should start with: /",
        "nickname: unknown field",
        "config.http_endpoint: required field missing",
        "Error parsing function",
    ] {
        assert!(messages.iter().any(|message| message.contains(expected)), "{expected}: {messages:?}");
    }
    assert!(deck.read().values().all(std::collections::BTreeMap::is_empty));
}
