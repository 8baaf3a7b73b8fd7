//! Access logs of a mesh: three services, each behind an Envoy of its own, with the policies of `examples/mesh`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;

use serde_json::{Value, json};

use super::peers::Envoy;
use crate::otlp::exported::Receiver;
use crate::service::{Home, Service, TcpPeer, ask, configuration, free_port, request, wait_until};
use crate::tap::Tap;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mesh").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The ports of the example, and those that a test has in their place.
struct Ports(Vec<(u16, u16)>);

impl Ports {
    fn new(more: &[(u16, u16)]) -> Self {
        let own = [10001, 10002, 10080, 10081, 10082, 8080, 8081, 8082, 9083];
        Self(own.iter().map(|port| (*port, free_port())).chain(more.iter().copied()).collect())
    }

    fn of(&self, port: u16) -> u16 {
        self.0.iter().find(|(from, _)| *from == port).unwrap().1
    }

    fn replace(&self, text: &str) -> String {
        // Not to replace what was put in already.
        let marked = self
            .0
            .iter()
            .fold(text.to_owned(), |text, (from, _)| text.replace(&from.to_string(), &format!("<{from}>")));
        self.0.iter().fold(marked, |text, (from, to)| text.replace(&format!("<{from}>"), &to.to_string()))
    }
}

struct Mesh {
    service: Service,
    ports: Ports,
    collector: TcpPeer,
    _envoys: Vec<Envoy>,
}

impl Mesh {
    /// The three Envoys, and the service with the policies of `documents`, beside plugins of Kong.
    fn start(home: Home, documents: &str, plugins: &Value) -> Self {
        Self::start_with(home, &example(documents), plugins)
    }

    fn start_with(home: Home, documents: &str, plugins: &Value) -> Self {
        let collector = TcpPeer::start();
        let ports = Ports::new(&[(5000, collector.port)]);
        home.write("mesh.yml", &at_home(&home, &ports.replace(documents)));
        home.write("logphase.yml", &ports.replace(&example("logphase.yml")));
        home.write("kong.yml", &configuration(plugins));
        let service = home.start_with(&["run", "mesh.yml", "kong.yml", "--settings", "logphase.yml"]);
        let envoy = |name: &str, listening: u16| Envoy::start(&ports.replace(&example(name)), &[ports.of(listening)]);
        let envoys = vec![envoy("database.yaml", 8082), envoy("backend.yaml", 8081), envoy("web.yaml", 10001)];
        Self { service, ports, collector, _envoys: envoys }
    }

    fn get(&self, path: &str) {
        let exchange = request(self.ports.of(10001), "GET", path, &[("user-agent", "test/1")], "");
        assert_eq!(exchange.head.word(), "200", "{path}");
    }

    fn query(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports.of(10002))).unwrap();
        stream.write_all(b"select").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert_eq!(answer, "rows");
    }

    fn lines(&self, file: &str) -> Vec<String> {
        lines_of(&self.service, file)
    }

    fn collected(&self) -> Vec<String> {
        self.collector.lines().iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }
}

/// The files of the example, in the home of the service.
fn at_home(home: &Home, text: &str) -> String {
    text.replace("/tmp/logphase-mesh-backend.log", &home.text("backend.log"))
        .replace("/tmp/logphase-mesh.log", &home.text("access.log"))
}

/// The whole lines of a file so far.
fn lines_of(service: &Service, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(service.home.path(file)).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

/// Checks what a request from `web` to `backend` and a connection from `backend` to `database` leave, by TrafficLogs.
fn check_traffic_logs(mesh: &Mesh) {
    mesh.get("/orders?a=\"b\"");
    wait_until("the request is in the file", || !mesh.lines("access.log").is_empty());
    let lines = mesh.lines("access.log");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert!(line.contains("] default \"GET /orders?a=\"b\" HTTP/1.1\" 200 - 0 7 "), "{line}");
    let host = format!("127.0.0.1:{}", mesh.ports.of(10081));
    let end = format!("\"127.0.0.1:{}\" \"web\" \"backend\" \"127.0.0.1\" \"{host}\"", mesh.ports.of(10001));
    assert!(
        line.ends_with(&end)
            || line.ends_with(&format!("\"api.example\" \"web\" \"backend\" \"127.0.0.1\" \"{host}\"")),
        "{line}"
    );
    mesh.query();
    wait_until("the connection is with the collector", || !mesh.collected().is_empty());
    let lines = mesh.collected();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: Value = serde_json::from_str(&lines[0]).unwrap_or_else(|error| panic!("{error}: {lines:?}"));
    let known = [&line["source"], &line["destination"], &line["source_address"], &line["bytes_sent"]];
    assert_eq!(known, [&json!("backend"), &json!("database"), &json!("127.0.0.1"), &json!("4")], "{line}");
    assert_eq!(line["destination_address"], format!("127.0.0.1:{}", mesh.ports.of(10082)));
}

/// Scenario: the example of a mesh, with its Universal policies and file-log of Kong beside them: a request and a TCP connection
/// between three services, each behind a real Envoy.
/// Guarantees: each line is where the policy says, in its format; what `backend` accepts is in JSON by its MeshAccessLog; the
/// plugin of Kong logs every entry, too; status, metrics, `queue list` and `tap` show the outputs of the mesh as those of plugins.
#[test]
fn three_services() {
    let readme = example("README.md");
    assert!(readme.contains("logphase run examples/mesh/mesh.yml --settings examples/mesh/logphase.yml"));
    let status = free_port();
    let home = Home::new().set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let plugins = json!([{
        "name": "file-log", "protocols": ["http", "tcp"], "config": {"path": home.text("kong.log")},
    }]);
    let mut mesh = Mesh::start(home, "mesh.yml", &plugins);
    let tap = Tap::start(&mesh.service, &["--json", "--sample", "all"]);
    check_traffic_logs(&mesh);
    let shown = tap
        .await_message("tap shows a line", |message| message["instance_name"] == mesh.service.home.text("access.log"));
    assert_eq!((&shown["plugin"], &shown["after"]), (&json!("mesh-file"), &json!(mesh.lines("access.log")[0])));
    let shown = tap.await_message("tap shows a line in JSON", |message| message["plugin"] == "mesh-tcp");
    assert_eq!(shown["after"]["source"], "backend");
    wait_until("backend has logged", || !mesh.lines("backend.log").is_empty());
    assert_eq!(
        mesh.lines("backend.log"),
        [r#"{"code":200,"direction":"INBOUND","path":"/orders?a=\"b\"","service":"backend","zone":"east"}"#]
    );
    // The request at both Envoys, and the connection at both.
    wait_until("Kong's plugin has logged", || mesh.lines("kong.log").len() == 4);
    let (_, _, metrics) = ask(status, "GET", "/metrics", "");
    for output in ["mesh-file", "mesh-tcp"] {
        assert!(metrics.contains(&format!("plugin=\"{output}\"")), "{metrics}");
        assert!(mesh.service.home.queues().iter().any(|queue| queue.to_string().contains(output)), "{output}");
    }
    let (_, _, shown) = ask(status, "GET", "/status", "");
    assert!(shown.contains(&format!("127.0.0.1:{}", mesh.collector.port)), "{shown}");
    assert_eq!(mesh.service.stop(), 0);
}

/// Scenario: the TrafficLogs of the example as objects of Kubernetes. Guarantees: the same lines.
#[test]
fn objects_of_kubernetes() {
    let mut mesh = Mesh::start(Home::new(), "mesh-kubernetes.yml", &json!([]));
    check_traffic_logs(&mesh);
    assert_eq!(mesh.service.stop(), 0);
}

/// Scenario: file-log of Kong and the TrafficLog write the same file, while requests come one after the other.
/// Guarantees: every line is whole, and none is missing: a line of the TrafficLog for each request, and a message for each entry.
#[test]
fn a_file_of_a_plugin_and_of_a_mesh() {
    let home = Home::new();
    let plugins = json!([{"name": "file-log", "config": {"path": home.text("access.log")}}]);
    let mut mesh = Mesh::start(home, "mesh-kubernetes.yml", &plugins);
    for number in 0..50 {
        mesh.get(&format!("/{number}"));
    }
    let texts = |lines: &[String]| lines.iter().filter(|line| line.starts_with("[20") && line.ends_with('"')).count();
    let messages = |lines: &[String]| lines.iter().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
    wait_until("all lines are in the file", || mesh.lines("access.log").len() >= 150);
    let lines = mesh.lines("access.log");
    assert_eq!((texts(&lines), messages(&lines), lines.len()), (50, 100, 150));
    assert_eq!(mesh.service.stop(), 0);
}

/// Scenario: the collector is away while connections are made; then a reload gives the policy another format, and the collector
/// comes back.
/// Guarantees: no line is lost, those from before the reload keep their format, later ones have the new one.
#[test]
fn a_collector_that_is_away_and_a_reload() {
    let mut mesh = Mesh::start(Home::new(), "mesh.yml", &json!([]));
    mesh.query();
    wait_until("the first line is with the collector", || mesh.collected().len() == 1);
    mesh.collector.crash();
    for _ in 0..5 {
        mesh.query();
    }
    let waiting = || {
        let queues = mesh.service.home.queues();
        let queue = queues.iter().find(|queue| queue["plugin"] == "mesh-tcp");
        queue.and_then(|queue| queue["messages"].as_u64()).unwrap_or(0)
    };
    // The first line may be among them: the collector has not confirmed that it has read it.
    wait_until("the lines wait", || waiting() >= 5);
    let text =
        mesh.ports.replace(&example("mesh.yml")).replace("{\"start_time\": \"%START_TIME%\", ", "{\"new\": true, ");
    mesh.service.home.write("mesh.yml", &at_home(&mesh.service.home, &text));
    mesh.service.signal(crate::service::Signal::HUP);
    wait_until("the configuration is reloaded", || mesh.service.has_logged("configuration reloaded"));
    mesh.query();
    mesh.collector.restart();
    let counts = || {
        let lines = mesh.collected();
        let new = lines.iter().filter(|line| line.contains("\"new\": true")).count();
        (lines.len() - new, new)
    };
    wait_until("all lines are with the collector", || counts().0 >= 6 && counts().1 == 1);
    assert!(mesh.collected().last().is_some_and(|line| line.contains("\"new\": true")), "{:?}", mesh.collected());
    assert_eq!(mesh.service.stop(), 0);
}

/// Scenario: a policy for `web` with two collectors of OpenTelemetry over gRPC, one of which is away at first: one with the default
/// body, one with a map and attributes; a request and a TCP connection.
/// Guarantees: real receivers get one record of each at the time of the entry, with body, attributes and resource as Kuma's
/// data plane has them.
#[test]
fn records_of_a_collector() {
    let mut plain = Receiver::absent("grpc", "all");
    let mut maps = Receiver::absent("grpc", "all");
    plain.start();
    let policy = format!(
        "---\ntype: MeshAccessLog\nname: web-outbounds\nmesh: default\nspec:\n  targetRef: {{kind: MeshService, name: web}}\n  \
         to:\n  - targetRef: {{kind: Mesh}}\n    default:\n      backends:\n      \
         - type: OpenTelemetry\n        openTelemetry: {{endpoint: '127.0.0.1:{}'}}\n      \
         - type: OpenTelemetry\n        openTelemetry:\n          endpoint: 127.0.0.1:{}\n          \
         body: {{kvlistValue: {{values: [{{key: code, value: {{stringValue: '%RESPONSE_CODE%'}}}}, \
         {{key: both, value: {{arrayValue: {{values: [{{stringValue: '%KUMA_SOURCE_SERVICE%'}}, {{stringValue: '%REQ(NONE)%'}}]}}}}}}]}}}}\n          \
         attributes: [{{key: mesh.name, value: '%KUMA_MESH%'}}, {{key: path, value: '%REQ(:PATH)%'}}]\n",
        plain.port, maps.port
    );
    let home = Home::new().set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.2");
    let mut mesh = Mesh::start_with(home, &(example("mesh.yml") + &policy), &json!([]));
    mesh.get("/orders?a=1");
    wait_until("the record is received", || plain.records().len() == 1);
    let record = plain.records().remove(0);
    let body = record["body"]["stringValue"].as_str().unwrap();
    assert!(
        body.contains("] default \"GET /orders?a=1 HTTP/1.1\" 200 - 0 7 ") && body.contains("\"web\" \"backend\""),
        "{body}"
    );
    assert!(record["timeUnixNano"].as_str().unwrap().len() == 19 && record.get("observedTimeUnixNano").is_none());
    let requests = plain.requests();
    let resource = requests[0]["resourceLogs"][0]["resource"]["attributes"].as_array().unwrap();
    let pairs: Vec<_> = resource.iter().map(|one| [&one["key"], &one["value"]["stringValue"]]).collect();
    for pair in [["log_name", "MeshAccessLog"], ["cluster_name", "web"], ["kuma.mesh", "default"]] {
        assert!(pairs.iter().any(|found| *found == pair), "{pair:?}: {pairs:?}");
    }
    maps.start();
    wait_until("the other one has it, too", || maps.records().len() == 1);
    let record = maps.records().remove(0);
    let members = &record["body"]["kvlistValue"]["values"];
    assert_eq!(members[0], json!({"key": "code", "value": {"stringValue": "200"}}));
    let both = json!([{"stringValue": "web"}, {"stringValue": "-"}]);
    assert_eq!(members[1]["value"]["arrayValue"]["values"], both);
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    assert_eq!(record["attributes"], json!([attribute("mesh.name", "default"), attribute("path", "/orders?a=1")]));
    assert_eq!(mesh.service.stop(), 0);
}
