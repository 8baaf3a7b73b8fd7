use std::sync::Arc;

use super::*;
use crate::plugin::Protocol;
use logphase_config::diagnostic::{Format, Place, any_error, codes, render_all};

fn read_files(files: &[(&str, &str)], select_tags: &[&str]) -> (Configuration, Vec<Diagnostic>) {
    let files: Vec<Arc<SourceFile>> = files.iter().map(|(name, text)| SourceFile::new(*name, *text)).collect();
    let select_tags: Vec<String> = select_tags.iter().map(|tag| (*tag).to_owned()).collect();
    let env = |name: &str| (name == "DECK_PATH").then(|| "/tmp/from-env".to_owned());
    read(&files, ReadOptions { select_tags: &select_tags, env: &env })
}

fn read_valid(text: &str) -> Configuration {
    let (configuration, diagnostics) = read_files(&[("kong.yaml", text)], &[]);
    assert_eq!(diagnostics, []);
    configuration
}

fn messages(text: &str) -> Vec<String> {
    let (_, diagnostics) = read_files(&[("kong.yaml", text)], &[]);
    diagnostics.iter().map(|d| format!("{} | {}", d.short(), d.kong.as_deref().unwrap_or("-"))).collect()
}

const NESTED: &str = r#"
_format_version: "3.0"
_transform: true
_comment: all of it
_info:
  select_tags: [team-a]
  defaults: {}
services:
- name: orders
  url: http://orders
  tags: [shop]
  plugins:
  - name: file-log
    instance_name: orders-log
    config:
      path: ${{ env "DECK_PATH" }}
      custom_fields_by_lua:
        route: return nil
        my_file.log\.field: |
          local a = 1
          return a
  - name: rate-limiting
    config: {minute: 5}
  routes:
  - name: list
    paths: [/list]
    protocols: [http, tcp]
    plugins:
    - {name: tcp-log, enabled: false, protocols: [http, tcp], config: {host: h, port: 9}, tags: [x]}
consumers:
- username: bob
  id: 0b7b0e7e-7a19-4b1f-a5f9-5d1f0e8f3a10
  groups: [{name: silver}, gold]
  keyauth_credentials: [{key: k}]
  plugins:
  - {name: udp-log, config: {host: h, port: 9}}
- custom_id: c1
consumer_groups:
- name: gold
  consumers: [{username: ann}]
- name: silver
  plugins:
  - {name: http-log, config: {http_endpoint: "http://h"}}
plugins:
- name: syslog
- {name: post-function, config: {log: ["return 1", "return 2"], access: ["return 3"]}}
- {name: file-log, route: list, consumer: {id: 0B7B0E7E-7A19-4B1F-A5F9-5D1F0E8F3A10}, config: {path: /tmp/y}}
- {name: http-log, service: {name: orders}, consumer_group: gold, config: {http_endpoint: "http://h"}}
upstreams: [{name: u}]
certificates: []
"#;

/// Scenario: a file with all kinds of entities, flat and nested.
/// Guarantees: scopes, fields, functions and groups are those that Kong reads.
#[test]
fn reads_a_whole_file() {
    let configuration = read_valid(NESTED);
    let plugins: Vec<_> =
        configuration.plugins.iter().map(|plugin| format!("{}: {}", plugin.definition.name, plugin.scope)).collect();
    insta::assert_debug_snapshot!(plugins, @r#"
    [
        "file-log: service `orders`",
        "tcp-log: route `list`",
        "udp-log: consumer `bob`",
        "http-log: consumer group `silver`",
        "syslog: global",
        "post-function: global",
        "file-log: route `list`, consumer `bob`",
        "http-log: service `orders`, consumer group `gold`",
    ]
    "#);
    let file_log = &configuration.plugins[0];
    assert_eq!(file_log.config["path"], "/tmp/from-env");
    assert_eq!(file_log.config["reopen"], false);
    assert_eq!(file_log.instance_name.as_deref(), Some("orders-log"));
    assert_eq!(file_log.tags.iter().collect::<Vec<_>>(), ["team-a"]);
    let keys: Vec<_> = file_log.fields.iter().map(|field| field.key.as_str()).collect();
    assert_eq!(keys, ["route", r"my_file.log\.field"]);
    assert_eq!(file_log.fields[1].source.line_origin(2).place().map(Place::line), Some(21));
    let tcp_log = &configuration.plugins[1];
    assert!(!tcp_log.enabled);
    assert_eq!(tcp_log.protocols, [Protocol::Http, Protocol::Tcp]);
    assert_eq!(tcp_log.tags.iter().collect::<Vec<_>>(), ["x", "team-a"]);
    let functions: Vec<_> = configuration.plugins[5].functions.iter().map(|function| function.text.as_str()).collect();
    assert_eq!(functions, ["return 1", "return 2"]);
    let consumer = configuration.plugins[6].scope.consumer.as_ref().expect("on a consumer");
    assert_eq!(consumer.id.as_deref(), Some("0b7b0e7e-7a19-4b1f-a5f9-5d1f0e8f3a10"));
    assert_eq!(
        (configuration.not_run[0].name.as_str(), configuration.not_run[0].scope.as_str()),
        ("rate-limiting", "service `orders`")
    );
    assert_eq!(configuration.groups_of("bob"), ["gold", "silver"]);
    assert_eq!(configuration.groups_of("0b7b0e7e-7a19-4b1f-a5f9-5d1f0e8f3a10"), ["gold", "silver"]);
    assert_eq!(configuration.groups_of("ann"), ["gold"]);
    assert_eq!((configuration.services.len(), configuration.routes.len(), configuration.consumers.len()), (1, 1, 2));
}

/// Scenario: a file is read twice; it has one plugin in several scopes.
/// Guarantees: derived ids are stable and differ by scope.
#[test]
fn derived_ids_are_stable() {
    let (first, second) = (read_valid(NESTED), read_valid(NESTED));
    let ids = |configuration: &Configuration| {
        configuration.plugins.iter().map(|plugin| plugin.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ids(&second));
    let all: std::collections::HashSet<_> = ids(&first).into_iter().collect();
    assert_eq!(all.len(), first.plugins.len());
}

/// Scenario: ten different mistakes in one file.
/// Guarantees: all of them are shown, with carets.
#[test]
fn shows_all_of_ten_mistakes() {
    let text = r#"_format_version: 3.0
services:
- name: orders
  urll: http://orders
  plugins:
  - name: http-log
    config:
      http_endpoint: http://mockbin.org
      timeoutt: 1000
  - name: tcp-log
    config: {host: 10.0.0.1:514, port: 99999}
routes:
- name: list
  service: order
plugins:
- name: fil-log
  config: {path: /tmp/a}
- name: udp-log
  config:
    port: "9"
- {name: syslog, config: {log_level: warn}}
- {name: syslog, config: {}}
servces: []
"#;
    let (_, diagnostics) = read_files(&[("kong.yaml", text)], &[]);
    assert_eq!(diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count(), 11);
    insta::assert_snapshot!(render_all(&diagnostics, Format::Pretty, false));
}

/// Scenario: mistakes in references, scopes and unique values.
/// Guarantees: each is an error with Kong's message and, where possible, a suggestion.
#[test]
fn reports_invalid_relations() {
    let head = "_format_version: '3.0'\nservices: [{name: a}, {name: a}]\nconsumers: [{username: bob, groups: [gld]}, {tags: [x]}]\nconsumer_groups: [{name: gold}]\n";
    let plugins = r#"plugins:
- {name: file-log, service: {name: b}, config: {path: /x/y}}
- {name: pre-function, consumer: bob, config: {log: [return]}}
- {name: kafka-log, consumer_group: gold, protocols: [tcp], config: {topic: t}}
- {name: tcp-log, instance_name: i, config: {host: h, port: 1}}
- {name: tcp-log, instance_name: i, config: {host: h, port: 1}}
- {name: rate-limiting, consumer: 5}
- {name: loggly}
- {config: {}}
- nonsense
"#;
    insta::assert_debug_snapshot!(messages(&format!("{head}{plugins}")));
}

/// Scenario: a plugin with none of its route's protocols.
/// Guarantees: a warning with Kong's message, not an error.
#[test]
fn warns_about_protocols_of_routes() {
    let text = "_format_version: '3.0'\nroutes:\n- {name: r, protocols: [tcp], plugins: [{name: file-log, config: {path: /x/y}}, {name: udp-log, protocols: [tcp], config: {host: h, port: 1}}]}\n";
    assert_eq!(
        messages(text),
        [
            "kong.yaml:3:48: warning[K0205]: plugin `file-log` runs for none of its route's protocols; must match the associated route's protocols: tcp | schema violation (protocols: must match the associated route's protocols: tcp)"
        ]
    );
}

/// Scenario: different mistakes at the top level of a file.
/// Guarantees: errors with Kong's messages.
#[test]
fn reports_mistakes_at_the_top_level() {
    insta::assert_debug_snapshot!([
        messages(""),
        messages("- a"),
        messages("plugins: []"),
        messages("_format_version: '4.0'\nplugins: {}\n_transform: maybe\n_info: {select_tags: x}"),
        messages("_format_version: \"3.0\"\nplugin: []\n_foo: 1"),
    ]);
}

/// Scenario: the forms of old versions of Kong.
/// Guarantees: they are read, with warnings.
#[test]
fn reads_old_forms() {
    let text = "_format_version: '1.1'\r\napis:\r\n- name: mockbin\r\n  id: 4d924084-1adb-40a5-c042-63b19db421d1\r\nplugins:\r\n- name: tcplog\r\n  api: mockbin\r\n  value:\r\n    host: 127.0.0.1\r\n    port: 7\r\n    custom_fields_by_lua:\r\n      a: |\r\n        local x = 1\r\n        return x\r\n- {name: filelog, api_id: 4d924084-1adb-40a5-c042-63b19db421d1, config: {path: /tmp/x}}\r\n";
    let (configuration, diagnostics) = read_files(&[("kong.yaml", text)], &[]);
    assert!(!any_error(&diagnostics), "{diagnostics:?}");
    assert_eq!(diagnostics.len(), 3);
    let plugin = &configuration.plugins[0];
    assert_eq!(
        (plugin.definition.name, plugin.old_form, plugin.scope.to_string().as_str()),
        ("tcp-log", true, "api `mockbin`")
    );
    assert_eq!(plugin.config["port"], 7);
    assert_eq!(plugin.fields[0].source.text, "local x = 1\nreturn x\n");
    assert_eq!(plugin.fields[0].source.line_origin(2).place().map(Place::line), Some(14));
    assert_eq!(configuration.plugins[1].scope.api.as_ref().and_then(|api| api.name.as_deref()), Some("mockbin"));
}

/// Scenario: http-log with the fields of Kong versions without queues.
/// Guarantees: they are converted to fields of `queue`.
#[test]
fn converts_old_fields() {
    let text = "_format_version: '3.0'\nplugins: [{name: http-log, config: {http_endpoint: 'http://h', queue_size: 5, flush_timeout: 3, retry_count: 2}}]\n";
    let (configuration, diagnostics) = read_files(&[("kong.yaml", text)], &[]);
    assert!(!any_error(&diagnostics) && diagnostics.len() == 3, "{diagnostics:?}");
    let config = &configuration.plugins[0].config;
    assert_eq!((&config["queue"]["max_batch_size"], &config["queue"]["max_coalescing_delay"]), (&5.into(), &3.into()));
    assert!(config.get("queue_size").is_none() && config.get("retry_count").is_none());
}

/// Scenario: http-log's headers as lists, in a file of each version.
/// Guarantees: files of Kong 1 and 2 have the texts that Kong 2 sent, wherever the plugin stands; in a file of Kong 3 it is
/// Kong's error.
#[test]
fn headers_of_old_versions_are_lists() {
    let http_log = "{name: http-log, config: {http_endpoint: 'http://h', headers: {a: [x, y], b: z, c: []}}}";
    for version in ["1.1", "2.1", "3.0"] {
        for list in [
            format!("plugins: [{http_log}]"),
            format!("services: [{{name: s, routes: [{{name: r, paths: [/], plugins: [{http_log}]}}]}}]"),
            format!("consumers: [{{username: u, plugins: [{http_log}]}}]"),
        ] {
            let (configuration, diagnostics) =
                read_files(&[("kong.yaml", &format!("_format_version: '{version}'\n{list}\n"))], &[]);
            assert_eq!(any_error(&diagnostics), version == "3.0", "{version} {list}: {diagnostics:?}");
            if version != "3.0" {
                let expected = serde_json::json!({"a": "x, y", "b": "z"});
                assert_eq!(configuration.plugins[0].config["headers"], expected, "{version} {list}");
            }
        }
    }
    let routes = |version: &str| {
        let text = format!(
            "_format_version: '{version}'\nroutes: [{{name: a, paths: ['/a/\\d+']}}]\nservices: [{{name: s, routes: [{{paths: [/b//c]}}]}}]\n"
        );
        let (configuration, _) = read_files(&[("kong.yaml", &text)], &[]);
        configuration.routes.iter().flat_map(|route| route.paths.clone()).collect::<Vec<_>>()
    };
    use crate::entity::PathPattern::{Prefix, Regex};
    for version in ["1.1", "2.1"] {
        let mut paths = routes(version);
        paths.sort_by_key(|path| format!("{path:?}"));
        assert_eq!(paths, [Prefix("/b/c".into()), Regex("/a/\\d+".into())], "{version}");
    }
    assert!(!routes("3.0").contains(&Regex("/a/\\d+".into())));
}

/// Scenario: references to entities that no file has, with and without decK's `_info.default_lookup_tags` for their kind,
/// which may stand in another file.
/// Guarantees: with it they are entities of Kong, by name or id, and no route of theirs takes part in routing; without it
/// they are errors that say how to give them.
#[test]
fn looked_up_entities_are_external() {
    let id = "0b7b0e7e-7a19-4b1f-a5f9-5d1f0e8f3a10";
    let plugins = format!(
        "_format_version: '3.0'\nroutes: [{{name: mine, paths: [/], service: orders}}]\nplugins:\n- {{name: file-log, service: orders, config: {{path: /tmp/x}}}}\n\
         - {{name: file-log, service: {{name: orders}}, route: {{id: {id}}}, config: {{path: /tmp/x}}}}\n\
         - {{name: file-log, consumer: ann, config: {{path: /tmp/x}}}}\n"
    );
    let lookup = "_format_version: '3.0'\n_info: {default_lookup_tags: {services: [t], routes: [t], consumers: [t]}}\n";
    let (configuration, diagnostics) = read_files(&[("a.yaml", &plugins), ("b.yaml", lookup)], &[]);
    assert_eq!(diagnostics, []);
    let scopes: Vec<_> = configuration.plugins.iter().map(|plugin| plugin.scope.to_string()).collect();
    assert_eq!(
        scopes,
        ["service `orders`".to_owned(), format!("route `{id}`, service `orders`"), "consumer `ann`".to_owned()]
    );
    assert_eq!(configuration.routes.len(), 1);
    assert_eq!(configuration.services[0].stored.json, r#"{"name":"orders"}"#);
    let (_, diagnostics) = read_files(&[("a.yaml", &plugins)], &[]);
    assert_eq!(diagnostics.len(), 5);
    assert!(diagnostics.iter().all(|found| found.help.as_ref().is_some_and(|help| help.contains("give both files"))));
    let services = "_format_version: '3.0'\n_info: {default_lookup_tags: {services: [t]}}\n";
    let (_, diagnostics) = read_files(&[("a.yaml", &plugins), ("b.yaml", services)], &[]);
    assert_eq!(diagnostics.len(), 2, "{diagnostics:?}");
    let nonsense = "_format_version: '3.0'\n_info: {default_lookup_tags: [services]}\n";
    assert!(messages(nonsense)[0].contains("`_info.default_lookup_tags` is a list"));
}

/// Scenario: lists that Kong does not have, beside a custom plugin and without one: entities of the plugin, a list whose name is
/// nearly one of Kong's, and something that is no list of entities.
/// Guarantees: only the first, beside the plugin, is a note; all others are errors.
#[test]
fn entities_of_custom_plugins_are_left_out() {
    let read = |plugin: &str, list: &str| {
        let text = format!(
            "_format_version: '3.0'\nservices: [{{name: s, routes: [{{name: r, plugins: [{{name: {plugin}}}]}}]}}]\n{list}\n"
        );
        let (_, diagnostics) = read_files(&[("kong.yaml", &text)], &[]);
        diagnostics
            .iter()
            .filter(|found| found.code == codes::UNKNOWN_ENTITY)
            .map(Diagnostic::short)
            .collect::<Vec<_>>()
    };
    let found = read("acme-auth", "acme_tokens: [{key: k}]");
    assert_eq!(
        found,
        ["kong.yaml:3:1: note[K0207]: `acme_tokens` is left out: entities of a custom plugin, as it seems"]
    );
    for (plugin, list) in
        [("cors", "acme_tokens: [{key: k}]"), ("acme-auth", "servces: [{name: s}]"), ("acme-auth", "acme: 5")]
    {
        let found = read(plugin, list);
        assert!(found.len() == 1 && found[0].contains("error[K0207]"), "{plugin} {list}: {found:?}");
    }
}

/// Scenario: entities of Kong's AI gateway (3.15), a plugin that is on one of them, and something else that begins with `ai_`.
/// Guarantees: the entities are accepted; the plugin is skipped with a warning, because it would run for everything.
#[test]
fn entities_of_the_ai_gateway_are_accepted() {
    let text = "_format_version: '3.0'\nai_models: [{name: gpt, plugins: [{name: x}]}]\nplugins:\n- {name: tcp-log, model: gpt, config: {host: h, port: 1}}\n- {name: tcp-log, config: {host: h, port: 1}}\n";
    let (configuration, diagnostics) = read_files(&[("kong.yaml", text)], &[]);
    assert_eq!((configuration.plugins.len(), diagnostics.len()), (1, 1), "{diagnostics:?}");
    assert!(diagnostics[0].message.contains("plugin `tcp-log` is skipped: it is on an AI model"));
    assert!(messages("_format_version: '3.0'\nai_models: 5\n")[0].contains("K0207"));
}

/// Scenario: clones of plugins: with and without a priority, beside their original, of a plugin that does not run here; and clones
/// with names that are taken, of too many, and without an original.
/// Guarantees: a clone is a plugin with the fields of its original and a priority and uniqueness of its own; each mistake is an
/// error at its place.
#[test]
fn clones_are_plugins_of_their_own() {
    let head = "_format_version: '3.0'\ncloned_plugins:\n- {name: second, ref: file-log, priority: 20}\n- {name: third, ref: file-log}\n- {name: limit, ref: rate-limiting, priority: 1}\n";
    let text = format!(
        "{head}plugins:\n- {{name: file-log, config: {{path: /tmp/a}}}}\n- {{name: second, config: {{path: /tmp/b}}}}\n- {{name: third, config: {{pth: x}}}}\n- {{name: limit, config: {{minute: 5}}}}\n- {{name: second, config: {{path: /tmp/c}}}}\n"
    );
    let (configuration, diagnostics) = read_files(&[("kong.yaml", &text)], &[]);
    let shorts: Vec<_> = diagnostics.iter().map(Diagnostic::short).collect();
    assert!(shorts.iter().any(|line| line.contains("two plugins `second` for the same scope")), "{shorts:?}");
    assert!(shorts.iter().any(|line| line.contains("unknown field `pth` in plugin `third`")), "{shorts:?}");
    let plugins: Vec<_> =
        configuration.plugins.iter().map(|plugin| (plugin.definition.name, plugin.definition.priority)).collect();
    assert_eq!(plugins, [("file-log", 9), ("second", 20), ("third", 9), ("second", 20)]);
    assert_eq!(configuration.not_run[0].name, "limit");
    assert!(matches!(configuration.not_run[0].reason, crate::entity::WhyNotRun::Proxying));
    let many: String = (0..6).map(|at| format!("- {{name: c{at}, ref: tcp-log}}\n")).collect();
    for (clones, error) in [
        ("- {name: tcp-log, ref: file-log}\n", "there is another plugin `tcp-log`"),
        ("- {name: cors, ref: file-log}\n", "there is another plugin `cors`"),
        ("- {name: a, ref: file-log}\n- {name: a, ref: file-log}\n", "there is another plugin `a`"),
        (&*many, "plugin `tcp-log` has more than 5 clones"),
        ("- {name: a}\n", "required field `ref` missing"),
        ("- {name: a, ref: file-log, priority: x}\n", "`priority` of a cloned plugin is a string"),
    ] {
        let found = messages(&format!("_format_version: '3.0'\ncloned_plugins:\n{clones}"));
        assert!(found.iter().any(|line| line.contains(error)), "{clones}: {found:?}");
    }
    let found = messages(
        "_format_version: '3.0'\nplugins: [{name: pre-function, condition: 'true', config: {log: [return]}}]\n",
    );
    assert!(found[0].contains("plugin `pre-function` cannot have a condition"), "{found:?}");
}

/// Scenario: a thousand plugins with three fields each, on a thousand services.
/// Guarantees: all of them are read, in time that is not quadratic (the limit is far above the time of a debug build).
#[test]
fn reads_a_thousand_plugins() {
    use std::fmt::Write as _;
    let mut text = String::from("_format_version: '3.0'\nservices:\n");
    for n in 0..1000 {
        let _ = write!(
            text,
            "- name: s{n}\n  plugins:\n  - name: tcp-log\n    config:\n      host: h\n      port: 1\n      custom_fields_by_lua:\n        a: return 1\n        b: |\n          return 2\n        c: return nil\n"
        );
    }
    let start = std::time::Instant::now();
    let configuration = read_valid(&text);
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(configuration.plugins.len(), 1000);
    assert!(configuration.plugins.iter().all(|plugin| plugin.fields.len() == 3));
}

/// Scenario: two files, with selected tags and decK's shared plugin configuration.
/// Guarantees: they are one configuration.
#[test]
fn reads_several_files_as_one() {
    let first = "_format_version: '3.0'\n_info: {select_tags: [a]}\nservices: [{name: s}]\n_plugin_configs: {base: {host: h, port: 1, timeout: 5}}\nplugins: [{name: tcp-log, _config: base, config: {port: 2}}]\n";
    let second = "{\"_format_version\": \"2.1\", \"plugins\": [{\"name\": \"file-log\", \"service\": \"s\", \"config\": {\"path\": \"/tmp/x\"}}]}";
    let files = [("a.yaml", first), ("b.json", second)];
    let (configuration, diagnostics) = read_files(&files, &[]);
    assert_eq!(diagnostics, []);
    assert_eq!(configuration.plugins.len(), 2);
    assert_eq!(
        (&configuration.plugins[0].config["port"], &configuration.plugins[0].config["timeout"]),
        (&2.into(), &5.into())
    );
    let (configuration, _) = read_files(&files, &["a"]);
    assert_eq!(configuration.plugins.iter().map(|plugin| plugin.definition.name).collect::<Vec<_>>(), ["tcp-log"]);
}

/// Scenario: the plugins of every conformance case, which Kong accepts.
/// Guarantees: they are accepted without diagnostics.
#[test]
fn accepts_the_conformance_cases() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder of the cases") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a readable case");
        let case: serde_json::Value = serde_json::from_str(&text).expect("a case is JSON");
        let file = serde_json::json!({ "_format_version": "3.0", "plugins": case["plugins"] });
        let (_, diagnostics) = read_files(&[("case.json", &file.to_string())], &[]);
        assert_eq!(diagnostics, [], "{}", path.display());
        count += 1;
    }
    assert!(count > 90);
}

proptest::proptest! {
    /// Scenario: files with words of the format in any order.
    /// Guarantees: no panic, and diagnostics can be rendered.
    #[test]
    fn never_panics(text in "(_format_version: '3.0'\n|plugins:\n|services:\n|consumers:\n|consumer_groups: |- name: (file-log|tcp-log|s)\n|  config:\n|    path: /tmp\n|  service: s\n|  plugins: \\[|\\]|\\{name: x, config: 1\\}|,|null\n|  groups: \\[a, \\{name: b\\}\\]\n|  id: 3\n|- 5\n|a\n){0,25}") {
        let (_, diagnostics) = read_files(&[("f.yaml", &text)], &["a"]);
        render_all(&diagnostics, Format::Pretty, false);
    }
}

/// The errors about variables in `plugins` and what stands beside them, and the notes, each by its line.
fn about_variables(text: &str, select_tags: &[&str]) -> (Vec<usize>, Vec<String>, Configuration) {
    let text = text.replace("UNSET", "${{ env \"DECK_NO\" }}");
    let (configuration, diagnostics) = read_files(&[("kong.yaml", &text)], select_tags);
    let line = |diagnostic: &Diagnostic| diagnostic.place().expect("it is in the file").line();
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    let (known, others): (Vec<_>, Vec<_>) = errors.partition(|diagnostic| diagnostic.code == codes::ENVIRONMENT);
    assert!(others.is_empty(), "{text}\n{others:?}");
    let notes = diagnostics.iter().filter(|diagnostic| diagnostic.code == codes::ENVIRONMENT && !diagnostic.is_error());
    (known.into_iter().map(line).collect(), notes.map(|note| note.message.clone()).collect(), configuration)
}

/// Scenario: an unset variable in every kind of place: in plugins that run here and in those that do not (Kong's, a custom one,
/// a disabled one, one without the selected tags), in what both share, in credentials, certificates, vaults and upstreams, in
/// routes and services.
/// Guarantees: it is an error where a plugin that runs here uses the value, and otherwise one note; no second error about
/// the value; for the router it is one only while an input finds routes.
#[test]
fn variables_are_demanded_where_they_are_used() {
    const NEEDED: bool = true;
    const HTTP: &str = "plugins:\n- {name: http-log, config: {http_endpoint: UNSET}}\n";
    let rows: &[(bool, &str)] = &[
        (NEEDED, HTTP),
        (NEEDED, "plugins:\n- {name: tcp-log, config: {host: h, port: UNSET}}\n"),
        (NEEDED, "plugins:\n- {name: http-log, enabled: UNSET, config: {http_endpoint: 'http://h'}}\n"),
        (!NEEDED, "plugins:\n- {name: http-log, enabled: false, config: {http_endpoint: UNSET}}\n"),
        (!NEEDED, "plugins:\n- {name: tcp-log, enabled: false, config: {host: 'x', port: UNSET}}\n"),
        (!NEEDED, "plugins:\n- {name: rate-limiting, config: {minute: UNSET}}\n"),
        (!NEEDED, "plugins:\n- {name: zipkin, config: {http_endpoint: UNSET}}\n"),
        (NEEDED, "plugins:\n- {name: UNSET, config: {}}\n"),
        (NEEDED, "_plugin_configs: {one: {path: UNSET}}\nplugins:\n- {name: file-log, _config: one}\n"),
        (!NEEDED, "_plugin_configs: {one: {path: UNSET}}\nplugins:\n- {name: file-log, config: {path: /a}}\n"),
        (
            !NEEDED,
            "_plugin_configs: {one: {path: UNSET}}\nplugins:\n- {name: file-log, enabled: false, _config: one}\n",
        ),
        (!NEEDED, "consumers:\n- {username: bob, keyauth_credentials: [{key: UNSET}]}\n"),
        (NEEDED, "consumers:\n- {username: UNSET}\n"),
        (!NEEDED, "upstreams:\n- {name: UNSET}\n"),
        (!NEEDED, "keyauth_credentials:\n- {key: UNSET, consumer: bob}\n"),
        (!NEEDED, "certificates:\n- {id: 0b7b0e7e-7a19-4b1f-a5f9-5d1f0e8f3a10, cert: UNSET, key: UNSET}\n"),
        (
            NEEDED,
            "certificates:\n- {id: 0b7b0e7e-7a19-4b1f-a5f9-5d1f0e8f3a10, cert: UNSET, key: k}\nplugins:\n- {name: http-log, \
             config: {http_endpoint: 'http://h', client_certificate: {id: 0b7b0e7e-7a19-4b1f-a5f9-5d1f0e8f3a10}}}\n",
        ),
        (NEEDED, "services:\n- {name: UNSET, host: h}\n"),
        (!NEEDED, "services:\n- {name: a, host: UNSET}\n"),
        (!NEEDED, "services:\n- {name: a, host: h, port: UNSET}\n"),
        (!NEEDED, "routes:\n- {name: a, hosts: [UNSET]}\n"),
        (!NEEDED, "services:\n- {name: a, host: h, plugins: [{name: key-auth, config: {key_names: [UNSET]}}]}\n"),
        (NEEDED, "services:\n- {name: a, host: h, plugins: [{name: file-log, config: {path: UNSET}}]}\n"),
        // An alias is in both plugins.
        (NEEDED, "plugins:\n- {name: cors, config: {origins: [&x UNSET]}}\n- {name: file-log, config: {path: *x}}\n"),
        (
            !NEEDED,
            "plugins:\n- {name: cors, config: {origins: [&x UNSET]}}\n- {name: key-auth, config: {key_names: [*x]}}\n",
        ),
    ];
    for (needed, text) in rows {
        let text = format!("_format_version: '3.0'\n{text}");
        let (errors, notes, configuration) = about_variables(&text, &[]);
        assert_eq!(!errors.is_empty(), *needed, "{text}");
        assert_eq!(notes.is_empty(), *needed, "{text}: {notes:?}");
        assert!(*needed || notes == ["not set, and used by nothing that runs here: `DECK_NO`"], "{text}: {notes:?}");
        let routing = text.contains("hosts: [UNSET") || text.contains("host: UNSET}\n") && text.contains("services");
        let routing = routing || text.contains("port: UNSET}\n") && text.contains("services");
        assert_eq!(configuration.routing.if_found.is_empty(), !routing, "{text}");
    }
    let tagged = "_format_version: '3.0'\nplugins:\n- {name: file-log, tags: [TAG], config: {path: UNSET}}\n";
    let of = |tag: &str| about_variables(&tagged.replace("TAG", tag), &["mine"]).0.len();
    assert_eq!((of("mine"), of("other")), (1, 0));
}
