//! Configurations as people have them: clones and conditions of plugins, files of Kubernetes, old versions.

use serde_json::{Value, json};

use crate::service::{Ended, Home, transaction};

/// The plugins that emit a message for `transaction`, with their messages.
fn tried(home: &Home, transaction: &Value) -> Vec<(String, Value)> {
    let ended = home.run(&["try", "--json", "kong.yml"], transaction.to_string().as_bytes());
    assert_eq!(ended.code(), 0, "{}", said(&ended));
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        assert_eq!(line["errors"], json!([]), "{line}");
        (line["plugin"].as_str().expect("it has a name").to_owned(), line["message"].clone())
    };
    ended.stdout.lines().map(line).collect()
}

fn said(ended: &Ended) -> String {
    format!("{}{}", ended.stdout, ended.stderr)
}

/// Scenario: file-log and two clones of it, one that runs before it and one after it, each with a field that the other sees.
/// Guarantees: all three run, in the order of their priorities.
#[test]
fn clones_run_with_their_priority() {
    let plugin = |name: &str| {
        format!(
            "- {{name: {name}, config: {{path: /tmp/x, custom_fields_by_lua: {{order: \"return (kong.log.serialize().order or '') .. '{name} '\"}}}}}}\n"
        )
    };
    let home = Home::with(&format!(
        "_format_version: '3.0'\ncloned_plugins:\n- {{name: late, ref: file-log, priority: 1}}\n- {{name: early, ref: file-log, priority: 100}}\nplugins:\n{}{}{}",
        plugin("late"),
        plugin("file-log"),
        plugin("early")
    ));
    let messages = tried(&home, &transaction(1));
    let orders: Vec<_> =
        messages.iter().map(|(name, message)| (name.as_str(), message["order"].as_str().unwrap_or_default())).collect();
    let expected = [("early", "early "), ("file-log", "early file-log "), ("late", "early file-log late ")];
    assert_eq!(orders, expected);
}

/// Scenario: plugins with conditions of both languages, of which some hold, one fails, and one is on a route and hides the global
/// one; then a condition on a field that no finished transaction has.
/// Guarantees: exactly those run whose condition holds; the most specific plugin is chosen before its condition is looked at; the
/// last is refused at its place.
#[test]
fn conditions_decide_which_plugins_run() {
    let logger = |name: &str, more: &str| format!("- {{name: {name}, {more} config: {{host: h, port: 1}}}}\n");
    let configuration = format!(
        "_format_version: '3.0'\nroutes: [{{name: r, paths: [/]}}]\nplugins:\n{}{}{}- {{name: syslog, condition: 'http.headers[\"no-such\"] == \"1\"'}}\n- {{name: loggly, condition: 'http.path.startsWith(\"/a\")', config: {{key: k}}}}\n",
        logger("tcp-log", "condition: 'http.method == \"GET\"',"),
        logger("udp-log", ""),
        logger("udp-log", "route: r, condition: 'http.method == \"PUT\"',"),
    );
    let home = Home::with(&configuration);
    let run = |method: &str, uri: &str, route: Option<&str>| {
        let mut given = transaction(1);
        given["request"]["method"] = method.into();
        given["request"]["uri"] = uri.into();
        match route {
            Some(name) => given["route"] = json!({"name": name}),
            None => drop(given.as_object_mut().expect("an object").remove("route")),
        }
        tried(&home, &given).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(run("GET", "/a", None), "udp-log tcp-log loggly");
    assert_eq!(run("POST", "/b", None), "udp-log");
    assert_eq!(run("GET", "/b", Some("r")), "tcp-log");
    assert_eq!(run("PUT", "/b", Some("r")), "udp-log");
    let ended = home.run(&["try", "--why", "kong.yml"], transaction(1).to_string().as_bytes());
    assert!(said(&ended).contains("syslog: does not run: its condition does not hold"), "{}", said(&ended));
    let home = Home::with("_format_version: '3.0'\nplugins:\n- {name: syslog, condition: 'principal.id == \"x\"'}\n");
    let ended = home.run(&["check", "--format", "short", "kong.yml"], b"");
    assert_eq!(ended.code(), 78);
    let error =
        "kong.yml:3:29: error[K0214]: the condition of plugin `syslog` cannot be evaluated; `principal.id`: a finished";
    assert!(said(&ended).contains(error), "{}", said(&ended));
}

/// Scenario: a file of Kubernetes with a KongPlugin on an Ingress, and transactions with the route's name as the ingress
/// controller gives it, and with another.
/// Guarantees: the plugin runs for the first, with its snippet, and not for the second.
#[test]
fn plugins_of_kubernetes_run() {
    let home = Home::with(
        "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\nmetadata: {name: log, namespace: shop}\nplugin: file-log\nconfig:\n  path: /tmp/x\n  custom_fields_by_lua:\n    cluster: return 'one'\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: shop, annotations: {konghq.com/plugins: log}}\nspec:\n  rules:\n  - host: example.com\n    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: orders, port: {number: 80}}}}]}\n",
    );
    let mut given = transaction(1);
    given["route"] = json!({"name": "shop.web.orders.example.com.80"});
    let messages = tried(&home, &given);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].1["cluster"], "one");
    given["route"] = json!({"name": "other"});
    assert_eq!(tried(&home, &given), []);
}

/// Scenario: plugins on a route and a service without name and id, on a route with an id, and on one with a name, once
/// with Kong's transactions and once with an input that finds routes.
/// Guarantees: only the first two are warned of, with both ways out; nothing is said where the router is in use.
#[test]
fn plugins_of_unnamed_routes() {
    let home = Home::new();
    let id = "0b7b0e7e-7a19-4b1f-a5f9-5d1f0e8f3a10";
    let plugin = "plugins: [{name: file-log, config: {path: /dev/null}}]";
    for (entity, word) in [
        (format!("routes: [{{paths: [/a], {plugin}}}]"), Some("route")),
        (format!("services: [{{host: h, {plugin}}}]"), Some("service")),
        (format!("routes: [{{id: {id}, paths: [/a], {plugin}}}]"), None),
        (format!("routes: [{{name: a, paths: [/a], {plugin}}}]"), None),
    ] {
        home.write("unnamed.yml", &format!("_format_version: '3.0'\n{entity}\n"));
        home.write("kong-input.yml", "{}");
        home.write("router.yml", "inputs: {http: {match_routes: true}}\n");
        for (settings, silent) in [("kong-input.yml", false), ("router.yml", true)] {
            let ended = home.run(&["check", "unnamed.yml", "--settings", settings], b"");
            let said = said(&ended);
            assert_eq!(ended.code(), 0, "{said}");
            let expected = word.filter(|_| !silent);
            assert_eq!(said.contains("without name and id"), expected.is_some(), "{entity} {settings}: {said}");
            if let Some(word) = expected {
                assert!(said.contains(&format!("Kong's transactions cannot match this {word}")), "{said}");
                assert!(said.contains("`id` that it has in Kong") && said.contains("`match_routes`"), "{said}");
            }
        }
    }
}

/// Scenario: files of a configuration, of settings and of tests that are not there, and ones that are not valid; a variable of a
/// service's host that is not set, with and without an input that finds routes.
/// Guarantees: exit code 74 for what may be there later, 78 for what is wrong.
#[test]
fn exit_codes_say_whether_a_restart_helps() {
    let home = Home::new();
    home.write("wrong.yml", "_format_version: '3.0'\nplugins: [{name: file-log}]\n");
    home.write("wrong-settings.yml", "nonsense: 1\n");
    home.write("tests.yml", "config: nowhere.yml\ntests: [{name: a, transaction: {}, expect: {}}]\n");
    home.write("unset.yml", "_format_version: '3.0'\nservices: [{name: a, host: '${{ env \"DECK_NO\" }}'}]\n");
    home.write("good.yml", "_format_version: '3.0'\n");
    home.write("kong-input.yml", "{}");
    home.write("router.yml", "inputs: {http: {match_routes: true}}\n");
    for (code, arguments) in [
        (74, &["run", "nowhere.yml"][..]),
        (74, &["check", "nowhere.yml"]),
        (74, &["check", "good.yml", "--settings", "nowhere.yml"]),
        (74, &["check", "good.yml", "nowhere.yml"]),
        (74, &["try", "nowhere.yml"]),
        (74, &["forwarder", "nowhere.yml"]),
        (74, &["queue", "list", "--settings", "nowhere.yml"]),
        (74, &["test", "nowhere.yml"]),
        (74, &["sandbox", "--settings", "nowhere.yml"]),
        (78, &["run", "wrong.yml"]),
        (78, &["check", "wrong.yml"]),
        (78, &["check", "wrong.yml", "nowhere.yml"]),
        (78, &["check", "good.yml", "--settings", "wrong-settings.yml"]),
        (78, &["queue", "list", "--settings", "wrong-settings.yml"]),
        (0, &["check", "unset.yml", "--settings", "kong-input.yml"]),
        (78, &["check", "unset.yml", "--settings", "router.yml"]),
    ] {
        let ended = home.run(arguments, b"");
        assert_eq!(ended.code(), code, "{arguments:?}: {}", said(&ended));
    }
}
