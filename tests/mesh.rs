//! Resources of Kuma and Kong Mesh, as a user meets them.

use crate::service::{Home, wait_until};

/// The example of Kong Mesh's page about TrafficLog, with a mistake in a format and one in a selector.
const RESOURCES: &str = "type: Mesh
name: default
logging:
  defaultBackend: file
  backends:
  - name: logstash
    format: '{\"start_time\": \"%START_TIME%\", \"source\": \"%KUMA_SOURCE_SERVICE%\", \"took\": \"%DURATON%\"}'
    type: tcp
    conf:
      address: 127.0.0.1:5000
  - name: file
    type: file
    conf:
      path: /tmp/access.log
---
type: TrafficLog
name: all-traffic
mesh: default
sources:
- match:
    kuma.io/service: '*'
destinations:
- match:
    region: eu
";

/// Scenario: `check` with resources of a mesh that have mistakes, beside a declarative file of Kong, and without the mistakes.
/// Guarantees: exit code 78, and each mistake is shown with Kuma's words and its line; without them, they are accepted.
#[test]
fn check_takes_resources_of_a_mesh() {
    let home = Home::with("_format_version: \"3.0\"\n");
    home.write("mesh.yml", RESOURCES);
    let ended = home.run(&["check", "kong.yml", "mesh.yml", "--format", "short"], b"");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code(), 78, "{said}");
    for expected in [
        "mesh.yml:7:90: error[K0701]: logging.backends[0].format: unknown operator `DURATON`",
        "mesh.yml:24:",
        "destinations[0].match: mandatory tag \"kuma.io/service\" is missing",
        "destinations[0].match[\"region\"]: tag \"region\" is not allowed",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    home.write("mesh.yml", &RESOURCES.replace("DURATON", "DURATION").replace("region: eu", "kuma.io/service: '*'"));
    let ended = home.run(&["check", "kong.yml", "mesh.yml"], b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
    for expected in ["ok: 0 plugins, 0 Lua snippets, 1 TrafficLog\n", "mesh-tcp                 127.0.0.1:5000"] {
        assert!(ended.stdout.contains(expected), "{expected} is not in\n{}", ended.stdout);
    }
}

/// Scenario: `run` and `check` with a backend of OpenTelemetry whose address is in a resource that is not read, and with a body that
/// Envoy refuses. Guarantees: they say so, and where it stands: access logs that a user counts on are not lost silently.
#[test]
fn a_backend_that_is_not_run_is_refused() {
    let home = Home::with("_format_version: \"3.0\"\n");
    for (backend, expected) in [
        (
            "{backendRef: {kind: MeshOpenTelemetryBackend, labels: {a: b}}}",
            "the OpenTelemetry backend of MeshAccessLog `all` has no `endpoint`",
        ),
        ("{endpoint: 'otel:4317', body: {intValue: 7}}", "Only string values, nested key value lists and array values"),
        ("{endpoint: 'otel:4317', body: {stringValue: '%NOPE%'}}", "unknown operator `NOPE`"),
        ("{endpoint: 'otel:4317', body: [a, '%NOPE%']}", "unknown operator `NOPE`"),
    ] {
        let policy = format!(
            "type: MeshAccessLog\nname: all\nspec:\n  to:\n  - targetRef: {{kind: Mesh}}\n    default:\n      backends:\n      - type: OpenTelemetry\n        openTelemetry: {backend}\n"
        );
        home.write("mesh.yml", &policy);
        for command in ["run", "check"] {
            let ended = home.run(&[command, "kong.yml", "mesh.yml"], b"");
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert_eq!(ended.code(), 78, "{said}");
            assert!(said.contains(expected), "{said}");
            assert!(said.contains("mesh.yml:9"), "{said}");
        }
    }
}

/// Scenario: the example of a mesh and two entries of it, through `explain`: for people, as JSON, and with an entry that is none.
/// Guarantees: it says who sends an entry, to whom, which policy wins over which, and prints the line of the backend.
#[test]
fn explain_says_which_policy_applies() {
    let home = Home::with("_format_version: \"3.0\"\n");
    let ended =
        home.run_in_project(&["explain", "examples/mesh/mesh.yml", "--entries", "examples/mesh/entries.ndjson"]);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    insta::assert_snapshot!(ended.stdout);
    let ended = home.run_in_project(&[
        "explain",
        "examples/mesh/mesh.yml",
        "--json",
        "--entries",
        "examples/mesh/entries.ndjson",
    ]);
    let second: serde_json::Value = serde_json::from_str(ended.stdout.lines().nth(1).unwrap()).unwrap();
    assert_eq!(second["lines"][0]["output"], "tcp 127.0.0.1:5000");
    let ended = home.run(&["explain", "kong.yml"], b"{}");
    assert_eq!(ended.code(), 78, "{}", ended.stderr);
    home.write("mesh.yml", &RESOURCES.replace("DURATON", "DURATION").replace("region: eu", "kuma.io/service: '*'"));
    let ended = home.run(&["explain", "mesh.yml", "--node-cluster", "web"], b"{\"a\": 1} {\"commonProperties\": {}}");
    assert_eq!(ended.code(), 1, "{}", ended.stdout);
    assert!(ended.stdout.contains("service `web`: outbound to an unknown service"), "{}", ended.stdout);
}

/// Scenario: a service whose policy writes a file, without an input for Envoy's entries; then a reload with a file elsewhere.
/// Guarantees: it warns that no entry can come; the reload is refused where the process may not write the file, at the place that
/// names it.
#[test]
fn files_out_of_reach_and_no_entries() {
    let home = Home::with("_format_version: \"3.0\"\n");
    let policy = |path: &str| {
        format!(
            "type: MeshAccessLog\nname: all\nspec:\n  to:\n  - targetRef: {{kind: Mesh}}\n    default:\n      backends:\n      \
             - {{type: File, file: {{path: {path}}}}}\n"
        )
    };
    home.write("mesh.yml", &policy(&home.text("access.log")));
    let mut service = home.start_with(&["run", "kong.yml", "mesh.yml"]);
    assert!(service.has_logged("the policies of meshes have no access logs"), "{}", service.log());
    service.home.write("mesh.yml", &policy("/var/elsewhere/access.log"));
    service.signal(crate::service::Signal::HUP);
    wait_until("the reload is refused", || service.has_logged("may not write /var/elsewhere/access.log"));
    assert!(service.has_logged("mesh.yml:8"), "{}", service.log());
    assert_eq!(service.stop(), 0);
}
