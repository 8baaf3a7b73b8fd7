//! What runs Logphase in containers: the Dockerfile, the example of Docker Compose, and the Helm chart.
//!
//! `tests/deploy/main.go` renders the chart with Helm's engine, decodes every object strictly into its Kubernetes type, and loads the
//! Compose file with Compose's own library; hadolint reads the Dockerfile.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::service::{Home, python};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn deploy(arguments: &[&str]) -> Output {
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target").join("deploy");
    let mut build = Command::new(root().join(".ci/go"));
    let build = build.current_dir(root()).arg("tests/deploy").arg(built).output().unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let program = String::from_utf8(build.stdout).unwrap();
    Command::new(program.trim()).current_dir(root()).args(arguments).output().unwrap()
}

#[track_caller]
fn read(arguments: &[&str]) -> Value {
    let output = deploy(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const CHART: &str = "packaging/helm/logphase";

/// The objects of the chart with the values in a file of this folder; with the defaults if it is empty.
#[track_caller]
fn chart(values: &str) -> Value {
    let arguments = ["chart", CHART, values];
    read(if values.is_empty() { &arguments[..2] } else { &arguments })
}

#[track_caller]
fn object<'a>(objects: &'a Value, kind: &str, name: &str) -> &'a Value {
    let mut found = objects
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.next().unwrap_or_else(|| panic!("no {kind} {name} in {objects:#}"))
}

/// Whether every label of `selector` is among `labels`.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().unwrap();
    !selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value)
}

/// The settings and the configuration of the chart's ConfigMap, checked by the program, and shown.
#[track_caller]
fn shown(objects: &Value, name: &str, variables: &[(&str, &str)]) -> Value {
    let data = &object(objects, "ConfigMap", name)["data"];
    let mut home = Home::new();
    for (file, text) in data.as_object().unwrap() {
        home.write(file, text.as_str().unwrap());
    }
    for (name, value) in variables {
        home.change(name, *value);
    }
    let ended = home.run(&["show", "kong.yml", "--settings", "logphase.yml", "--format", "json"], b"");
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// Scenario: the chart with its default values.
/// Guarantees: every object is valid; the configuration passes the program's own check, and its volume, ports, probes and selectors fit
/// each other; no container has privileges.
#[test]
fn chart_with_defaults() {
    let objects = chart("");
    let kinds: Vec<&str> = objects.as_array().unwrap().iter().map(|object| object["kind"].as_str().unwrap()).collect();
    let expected =
        ["ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "Service", "ServiceAccount", "StatefulSet"];
    assert_eq!(kinds, expected);
    let set = &object(&objects, "StatefulSet", "test-logphase")["spec"];
    let pod = &set["template"];
    let labels = &pod["metadata"]["labels"];
    let container = &pod["spec"]["containers"][0];
    assert_eq!(set["serviceName"], "test-logphase-pods");
    for (kind, name, path) in [
        ("Service", "test-logphase", "/spec/selector"),
        ("Service", "test-logphase-pods", "/spec/selector"),
        ("PodDisruptionBudget", "test-logphase", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "test-logphase", "/spec/podSelector/matchLabels"),
        ("StatefulSet", "test-logphase", "/spec/selector/matchLabels"),
    ] {
        assert!(selects(object(&objects, kind, name).pointer(path).unwrap(), labels), "{kind} {name}");
    }
    let ports = container["ports"].as_array().unwrap();
    let named = |name: &Value| ports.iter().any(|port| port["name"] == *name);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert!(named(&container[probe]["httpGet"]["port"]), "{probe}");
    }
    for service in ["test-logphase", "test-logphase-pods"] {
        for port in object(&objects, "Service", service)["spec"]["ports"].as_array().unwrap() {
            assert!(named(&port["targetPort"]), "{port}");
        }
    }
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mount = |name: &str| mounts.iter().find(|mount| mount["name"] == name).unwrap();
    assert_eq!(set["volumeClaimTemplates"][0]["metadata"]["name"], "data");
    let variables = container["env"].as_array().unwrap();
    let variable =
        |name: &str| variables.iter().find(|variable| variable["name"] == name).unwrap()["value"].as_str().unwrap();
    assert!(variable("LOGPHASE_DATA_DIR").starts_with(mount("data")["mountPath"].as_str().unwrap()));
    // A file that is mounted alone never changes.
    assert!(mount("config").get("subPath").is_none());
    let security = &container["securityContext"];
    assert_eq!(
        (&security["readOnlyRootFilesystem"], &security["capabilities"]),
        (&json!(true), &json!({"drop": ["ALL"]}))
    );
    assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        (&pod["spec"]["enableServiceLinks"], &pod["spec"]["automountServiceAccountToken"]),
        (&json!(false), &json!(false))
    );
    let listen = [
        ("LOGPHASE_HTTP_LISTEN", variable("LOGPHASE_HTTP_LISTEN")),
        ("LOGPHASE_STATUS_LISTEN", variable("LOGPHASE_STATUS_LISTEN")),
    ];
    let shown = shown(&objects, "test-logphase", &listen);
    assert_eq!(shown["inputs"], json!([{"name": "http", "from": ["0.0.0.0:9080"]}]));
    assert_eq!(shown["settings"]["status.listen"]["value"], json!(["0.0.0.0:8007"]));
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_f64().unwrap();
    assert!(grace > shown["settings"]["shutdown_timeout"]["value"].as_f64().unwrap());
}

/// Scenario: values that turn everything on.
/// Guarantees: every object is valid; settings and snippets arrive as they were; the ports of the chart win; the ServiceMonitor selects
/// the Service of the status port alone; the NetworkPolicy lets in whom it names.
#[test]
fn chart_with_everything() {
    let objects = chart("tests/deploy/all.yaml");
    let shown =
        shown(&objects, "logs", &[("LOG_URL", "http://127.0.0.1:9/"), ("LOGPHASE_HTTP_LISTEN", "0.0.0.0:8080")]);
    assert_eq!(shown["settings"]["inputs.http.max_connections"]["value"], 77);
    let names: Vec<_> = shown["inputs"].as_array().unwrap().iter().map(|input| &input["from"][0]).collect();
    assert_eq!(names, ["0.0.0.0:8080", "0.0.0.0:9083"]);
    let snippet = "local agent = kong.request.get_header(\"user-agent\")\nreturn agent and agent:lower()\n";
    assert_eq!(shown["entities"]["plugins"][0]["config"]["custom_fields_by_lua"]["agent"], snippet);
    let pod = &object(&objects, "StatefulSet", "logs")["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["env"].as_array().unwrap().len(), 4);
    assert_eq!(container["ports"].as_array().unwrap().len(), 4);
    assert_eq!(container["volumeMounts"][2]["mountPath"], "/etc/logphase-secrets/tls");
    assert_eq!(pod["spec"]["volumes"][1]["secret"]["secretName"], "logphase-tls");
    assert_eq!(pod["metadata"]["labels"]["team"], "edge");
    let monitor = object(&objects, "ServiceMonitor", "logs");
    let matches = &monitor["spec"]["selector"]["matchLabels"];
    let services: Vec<&str> = ["logs", "logs-pods"]
        .into_iter()
        .filter(|name| selects(matches, &object(&objects, "Service", name)["metadata"]["labels"]))
        .collect();
    assert_eq!(services, ["logs-pods"]);
    let port = &monitor["spec"]["endpoints"][0]["port"];
    assert_eq!(object(&objects, "Service", "logs-pods")["spec"]["ports"][0]["name"], *port);
    let policy = &object(&objects, "NetworkPolicy", "logs")["spec"];
    assert_eq!(policy["ingress"][0]["ports"].as_array().unwrap().len(), 3);
    let metrics = &policy["ingress"][1];
    assert_eq!(metrics["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], "monitoring");
    assert_eq!((&metrics["ports"][0]["port"], policy["policyTypes"].as_array().unwrap().len()), (&json!("status"), 2));
}

/// Scenario: a change of the configuration, and one of the settings.
/// Guarantees: pods start again for the second only; the first is reloaded.
#[test]
fn chart_restarts_for_settings_alone() {
    let home = Home::new();
    let annotations = |text: &str| {
        home.write("values.yaml", text);
        let objects = chart(&home.text("values.yaml"));
        object(&objects, "StatefulSet", "test-logphase")["spec"]["template"]["metadata"]["annotations"].clone()
    };
    let before = annotations("{}");
    assert!(before["checksum/settings"].is_string(), "{before}");
    assert_eq!(annotations("kong: {_format_version: '3.0', plugins: [{name: syslog}]}"), before);
    assert_ne!(annotations("settings: {workers: 3}"), before);
}

/// Scenario: values that are wrong. Guarantees: each is refused, with its name.
#[test]
fn chart_refuses_wrong_values() {
    let home = Home::new();
    for (text, named) in [
        ("replica: 2", "replica"),
        ("replicas: many", "replicas"),
        ("ports: {http: 99999}", "http"),
        ("ports: {extra: [{name: Too_Long_For_A_Name_Of_A_Port, port: 1}]}", "name"),
        ("persistence: {size: large}", "size"),
        ("persistence: {accessModes: [ReadWriteMany]}", "accessModes"),
        ("kong: {_format_version: 3.0}", "_format_version"),
        ("service: {type: External}", "type"),
    ] {
        home.write("values.yaml", text);
        let output = deploy(&["chart", CHART, &home.text("values.yaml")]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(named), "{text}: {said}");
    }
}

/// Scenario: the chart, the image and the program.
/// Guarantees: they have one version; the chart's paths, user and ports are those of the image.
#[test]
fn versions_and_places_agree() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let chart = read("packaging/helm/logphase/Chart.yaml");
    for line in [concat!("version: ", env!("CARGO_PKG_VERSION")), concat!("appVersion: ", env!("CARGO_PKG_VERSION"))] {
        assert!(chart.lines().any(|found| found == line), "{line}");
    }
    let dockerfile = read("Dockerfile");
    let set = read("packaging/helm/logphase/templates/statefulset.yaml");
    for text in
        ["65532", "/var/lib/logphase", "/etc/logphase/kong.yml", "LOGPHASE_HTTP_LISTEN", "LOGPHASE_STATUS_LISTEN"]
    {
        assert!(dockerfile.contains(text) && set.contains(text), "{text}");
    }
    let run: Vec<&str> = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).collect();
    for line in run {
        let paths: Vec<&str> = line.split(' ').filter(|word| !word.starts_with("--")).collect();
        let sources = if line.starts_with("--from") { &[] } else { &paths[..paths.len() - 1] };
        for source in sources {
            assert!(root().join(source).exists(), "{source}");
        }
    }
}

/// Scenario: the Dockerfile, read by hadolint. Guarantees: it finds nothing.
#[test]
fn dockerfile_is_sound() {
    let packages = python("tests/deploy/requirements.txt", "hadolint");
    let folder = packages.get_envs().find(|(name, _)| *name == "PYTHONPATH").and_then(|(_, value)| value).unwrap();
    let mut hadolint = Command::new(Path::new(folder).join("bin/hadolint"));
    let output = hadolint.arg(root().join("Dockerfile")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
}

/// Scenario: the example of Docker Compose, read by Compose's own library; its configurations, read by the program.
/// Guarantees: every file that it mounts is there; Kong sends to the port that the image listens on; Logphase sends to the broker and
/// topic that the file names; Logphase has no privileges.
#[test]
fn compose_example_is_sound() {
    let project = read(&["compose", "examples/compose/compose.yaml"]);
    let services = &project["services"];
    for service in services.as_object().unwrap().values() {
        for volume in service["volumes"].as_array().into_iter().flatten().filter(|volume| volume["type"] == "bind") {
            assert!(Path::new(volume["source"].as_str().unwrap()).exists(), "{volume}");
        }
    }
    let logphase = &services["logphase"];
    assert_eq!((&logphase["read_only"], &logphase["cap_drop"]), (&json!(true), &json!(["ALL"])));
    let home = Home::new();
    let entities = |path: &str| -> Value {
        let path = root().join("examples/compose").join(path);
        let ended = home.run(&["show", "--format", "json", &path.display().to_string()], b"");
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let of_kong = entities("kong-gateway.yml");
    assert_eq!(of_kong["outputs"][0]["destination"], "http://logphase:9080/");
    assert!(std::fs::read_to_string(root().join("Dockerfile")).unwrap().contains("LOGPHASE_HTTP_LISTEN=0.0.0.0:9080"));
    let ours = entities("logphase/kong.yml");
    assert_eq!(ours["outputs"][1]["destination"], "kafka:9092 topic transactions");
    assert_eq!(services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"], "PLAINTEXT://kafka:9092");
}
