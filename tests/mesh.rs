//! Resources of Kuma and Kong Mesh, as a user meets them.

use crate::service::Home;

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

/// Scenario: `check` with resources of a mesh, beside a declarative file of Kong.
/// Guarantees: exit code 78; each mistake is shown with Kuma's words and its line, and each resource is refused because nothing
/// applies it yet. The file of Kong alone is accepted.
#[test]
fn check_refuses_resources_of_a_mesh_after_their_mistakes() {
    let home = Home::with("_format_version: \"3.0\"\n");
    home.write("mesh.yml", RESOURCES);
    let ended = home.run(&["check", "kong.yml", "mesh.yml", "--format", "short"], b"");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code(), 78, "{said}");
    for expected in [
        "mesh.yml:1:7: error[K0206]: Mesh `default` is not run yet",
        "mesh.yml:7:90: error[K0701]: logging.backends[0].format: unknown operator `DURATON`",
        "error[K0206]: TrafficLog `all-traffic` is not run yet",
        "mesh.yml:24:",
        "destinations[0].match: mandatory tag \"kuma.io/service\" is missing",
        "destinations[0].match[\"region\"]: tag \"region\" is not allowed",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    let ended = home.run(&["check", "kong.yml"], b"");
    assert_eq!(ended.code(), 0, "{}", ended.stdout);
}

/// Scenario: `run` with a TrafficLog. Guarantees: it does not start, and says which resource it does not run: access logs that a
/// user counts on are not lost silently.
#[test]
fn run_refuses_resources_of_a_mesh() {
    let home = Home::with("_format_version: \"3.0\"\n");
    let text = RESOURCES.replace("DURATON", "DURATION").replace("region: eu", "kuma.io/service: '*'");
    home.write("mesh.yml", &text);
    let ended = home.run(&["run", "kong.yml", "mesh.yml"], b"");
    assert_eq!(ended.code(), 78, "{}", ended.stderr);
    assert!(ended.stderr.contains("TrafficLog `all-traffic` is not run yet"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("K0701"), "{}", ended.stderr);
}
