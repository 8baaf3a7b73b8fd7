//! Validation of Mesh and TrafficLog, against what the tests of Kuma 2.9 and 2.14 show.

use super::{good, messages};

fn mesh(logging: &str) -> Vec<String> {
    messages(&format!("type: Mesh\nname: default\nlogging: {logging}\n"))
}

fn traffic_log(fields: &str) -> Vec<String> {
    let all = messages(&format!("type: TrafficLog\nname: log\nmesh: default\n{fields}\n"));
    all.into_iter().filter(|message| !message.contains("is in none of the files")).collect()
}

/// Scenario: the `logging` of a Mesh with each mistake that Kuma's validator knows, one or several at a time.
/// Guarantees: the violations are Kuma's, in its order and words.
#[test]
fn backends_of_a_mesh_are_checked_as_by_kuma() {
    let tcp = "type: tcp, conf: {address: 'kibana:1234'}";
    let cases: Vec<(String, Vec<&str>)> = vec![
        (format!("{{backends: [{{name: a, {tcp}}}], defaultBackend: a}}"), vec![]),
        ("{backends: [{name: a, type: file, conf: {path: /tmp/a}, format: '%START_TIME% %KUMA_MESH%'}]}".into(), vec![]),
        ("{}".into(), vec![]),
        (format!("{{backends: [{{name: , {tcp}}}]}}"), vec!["logging.backends[0].name: cannot be empty"]),
        (format!("{{backends: [{{{tcp}}}]}}"), vec!["logging.backends[0].name: cannot be empty"]),
        (
            format!("{{backends: [{{name: a, {tcp}}}, {{name: a, type: file, conf: {{path: /f}}}}], defaultBackend: a}}"),
            vec!["logging.backends[1].name: \"a\" name is already used for another backend"],
        ),
        (
            "{backends: [{name: a, type: tcp, conf: {address: }}]}".into(),
            vec!["logging.backends[0].config.address: cannot be empty"],
        ),
        ("{backends: [{name: a, type: tcp}]}".into(), vec!["logging.backends[0].config.address: cannot be empty"]),
        (
            "{backends: [{name: a, type: tcp, conf: {address: 'wrong-format:234:234'}}]}".into(),
            vec!["logging.backends[0].config.address: has to be in format of HOST:PORT"],
        ),
        (
            "{backends: [{name: a, type: file, conf: {path: ''}}]}".into(),
            vec!["logging.backends[0].config.path: cannot be empty"],
        ),
        (
            "{backends: [{name: a, type: xxx}]}".into(),
            vec!["logging.backends[0].type: unknown backend type. Available backends: \"tcp\", \"file\""],
        ),
        (
            format!("{{backends: [{{name: a, {tcp}}}], defaultBackend: b}}"),
            vec!["logging.defaultBackend: has to be set to one of the logging backend in mesh"],
        ),
        (
            "{backends: [{name: , type: file, conf: {path: /p}}, {name: t, type: file, conf: {}}, {name: t, type: tcp, conf: {}}], \
             defaultBackend: no}"
                .into(),
            vec![
                "logging.backends[0].name: cannot be empty",
                "logging.backends[1].config.path: cannot be empty",
                "logging.backends[2].config.address: cannot be empty",
                "logging.backends[2].name: \"t\" name is already used for another backend",
                "logging.defaultBackend: has to be set to one of the logging backend in mesh",
            ],
        ),
        (format!("{{backends: {{name: a, {tcp}}}}}"), vec!["logging.backends: expected a list, found a mapping"]),
        (
            "{backends: [{name: a, type: file, conf: {pth: /p}}]}".into(),
            vec!["unknown field `logging.backends[0].conf.pth`", "logging.backends[0].config.path: cannot be empty"],
        ),
    ];
    for (logging, expected) in cases {
        assert_eq!(mesh(&logging), expected, "{logging}");
    }
}

/// Scenario: selectors of a TrafficLog with each mistake that Kuma's validator knows.
/// Guarantees: the violations are Kuma's, in its order and words.
#[test]
fn selectors_are_checked_as_by_kuma() {
    let any = "[{match: {kuma.io/service: '*'}}]";
    let at_least = |side: &str| format!("{side}: must have at least one element");
    let missing = |path: &str| format!("{path}: mandatory tag \"kuma.io/service\" is missing");
    let exactly = |path: &str| format!("{path}: must consist of exactly one tag \"kuma.io/service\"");
    let empty = |path: &str, tag: &str| format!("{path}[\"{tag}\"]: tag value must be non-empty");
    let source = "sources[0].match";
    let destination = "destinations[0].match";
    let cases: Vec<(String, Vec<String>)> = vec![
        (format!("sources: {any}\ndestinations: {any}"), vec![]),
        (String::new(), vec![at_least("sources"), at_least("destinations")]),
        ("sources: []\ndestinations: []".into(), vec![at_least("sources"), at_least("destinations")]),
        (
            "sources: [{match: {}}]\ndestinations: [{match: {}}]".into(),
            vec![
                format!("{source}: must have at least one tag"),
                missing(source),
                exactly(destination),
                missing(destination),
            ],
        ),
        (
            "sources: [{match: {kuma.io/service: , region: }}]\ndestinations: [{match: {kuma.io/service: , region: }}]"
                .into(),
            vec![
                empty(source, "kuma.io/service"),
                empty(source, "region"),
                exactly(destination),
                empty(destination, "kuma.io/service"),
                format!("{destination}[\"region\"]: tag \"region\" is not allowed"),
                empty(destination, "region"),
            ],
        ),
        (format!("sources: [{{match: {{region: eu}}}}]\ndestinations: {any}"), vec![missing(source)]),
        (
            format!("sources: [{{match: {{kuma.io/service: 'a b'}}}}]\ndestinations: {any}"),
            vec![format!(
                "{source}[\"kuma.io/service\"]: tag value must consist of alphanumeric characters, dots, dashes, slashes and \
                 underscores or be \"*\""
            )],
        ),
        (
            format!("sources: [{{match: {{kuma.io/service: a, 'b!': c}}}}]\ndestinations: {any}"),
            vec![format!(
                "{source}[\"b!\"]: tag name must consist of alphanumeric characters, dots, dashes, slashes and underscores"
            )],
        ),
        (
            format!("sources: [{{match: {{kuma.io/service: a, '': c}}}}]\ndestinations: {any}"),
            vec![format!("{source}: tag name must be non-empty")],
        ),
        (
            format!("sources: [{{match: {{kuma.io/service: 8}}}}]\ndestinations: {any}"),
            vec![format!("{source}[\"kuma.io/service\"]: expected a string, found an integer")],
        ),
        (
            format!("sources: {any}\ndestinations: {any}\nconf: {{backnd: a}}"),
            vec!["unknown field `conf.backnd`".into()],
        ),
        (
            format!("sources: {any}\ndestination: {any}"),
            vec!["unknown field `destination`".into(), at_least("destinations")],
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(traffic_log(&fields), expected, "{fields}");
    }
}

const MESH: &str = "type: Mesh\nname: default\nlogging:\n  defaultBackend: a\n  backends:\n  - {name: a, type: file, conf: {path: /a}}\n  \
                    - {name: b, type: tcp, conf: {address: 'logs:5000'}}\n";

/// Scenario: TrafficLogs that name a backend of the mesh, none, one that the mesh does not have, and a mesh that is not there.
/// Guarantees: the backend is Kuma's choice; where Kuma writes no access log, a warning says so.
#[test]
fn a_policy_without_a_usable_backend_is_warned_of() {
    let policy = |mesh: &str, conf: &str| {
        format!(
            "---\ntype: TrafficLog\nname: log\nmesh: {mesh}\nsources: [{{match: {{kuma.io/service: '*'}}}}]\n\
             destinations: [{{match: {{kuma.io/service: '*'}}}}]\n{conf}"
        )
    };
    let text = |mesh: &str, conf: &str| format!("{MESH}{}", policy(mesh, conf));
    let resources = good(&text("default", "conf: {backend: b}"));
    let mesh = &resources.meshes[0];
    assert_eq!(mesh.backend(&resources.traffic_logs[0].backend).unwrap().name, "b");
    assert_eq!(mesh.backend("").unwrap().name, "a");
    assert!(mesh.backend("c").is_none());
    assert!(messages(&text("default", "")).is_empty());
    assert_eq!(messages(&text("default", "conf: {backend: c}")), ["mesh `default` has no backend `c`"]);
    assert_eq!(messages(&text("other", "")), ["mesh `other` of TrafficLog `log` is in none of the files"]);
    let without = MESH.replace("  defaultBackend: a\n", "");
    assert_eq!(
        messages(&format!("{without}{}", policy("default", ""))),
        ["TrafficLog `log` names no backend, and mesh `default` has no default backend"]
    );
}
