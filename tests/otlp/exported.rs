//! Access logs of the plugin opentelemetry at real receivers: OpenTelemetry's own messages and gRPC's server for Python, and
//! Logphase's own input.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{messages, start, transaction};
use crate::service::{Home, Scrape, Service, configuration, free_port, python, wait_until};

/// A receiver of tests/otlp/receive.py.
pub struct Receiver {
    protocol: &'static str,
    pub port: u16,
    taken: &'static str,
    child: Option<Child>,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Receiver {
    pub fn absent(protocol: &'static str, taken: &'static str) -> Self {
        Self { protocol, port: free_port(), taken, child: None, requests: Arc::default() }
    }

    pub fn start(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otlp/receive.py");
        let mut command = python("tests/otlp/requirements.txt", "otlp");
        command.arg(script).args([self.protocol, &self.port.to_string(), self.taken]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.child = Some(child);
        assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some("ready"));
        let requests = self.requests.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The last line of a receiver that is killed may be a part of one.
                requests.lock().extend(serde_json::from_str::<Value>(&line));
            }
        });
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn endpoint(&self) -> String {
        let path = if self.protocol == "grpc" { "" } else { "/v1/logs" };
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn protocol(&self) -> &'static str {
        if self.protocol == "grpc" { "grpc" } else { "http/protobuf" }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.requests.lock().clone()
    }

    /// The records so far.
    pub fn records(&self) -> Vec<Value> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let requests = self.requests();
        let resources = requests.iter().flat_map(|request| list(&request["resourceLogs"]));
        let scopes = resources.flat_map(|logs| list(&logs["scopeLogs"]));
        scopes.flat_map(|logs| list(&logs["logRecords"])).collect()
    }

    fn has_ids(&self, count: usize) -> bool {
        let records = self.records();
        let mut ids: Vec<_> = records.iter().filter_map(|record| attribute(record, "kong.request.id")).collect();
        ids.sort_by_key(ToString::to_string);
        ids.dedup();
        ids.len() == count
    }
}

/// The value of an attribute of a record.
fn attribute<'a>(record: &'a Value, key: &str) -> Option<&'a Value> {
    let attributes = record["attributes"].as_array()?;
    let value = &attributes.iter().find(|attribute| attribute["key"] == key)?["value"];
    value.as_object()?.values().next()
}

fn plugin(receiver: &Receiver, more: Value) -> Value {
    let mut config = json!({
        "access_logs": {"endpoint": receiver.endpoint()}, "protocol": receiver.protocol(),
        "queue": {"max_coalescing_delay": 0.05, "max_retry_delay": 0.2},
    });
    for (name, value) in more.as_object().unwrap() {
        match (&mut config[name], value) {
            (Value::Object(known), Value::Object(more)) => known.extend(more.clone()),
            (known, value) => *known = value.clone(),
        }
    }
    json!({"name": "opentelemetry", "config": config})
}

/// Scenario: over both protocols, compressed: a transaction with a trace, attributes by Lua (new, changed, removed, one that
/// fails), and a file-log that runs afterwards.
/// Guarantees: the receiver's own messages read the record: body, time, trace, resource and attributes; file-log's message has
/// none of the attributes by Lua.
#[test]
fn a_record_of_a_transaction() {
    for protocol in ["grpc", "http"] {
        let mut receiver = Receiver::absent(protocol, "all");
        receiver.start();
        let attributes = json!({
            "tenant.name": "return 'blue'", "http.request.method": "return 'HIDDEN'", "url.full": "return nil",
            "url.path": "return nil", "client.address": "error('x')", "kind": "return {a = 1}",
        });
        let more = json!({
            "access_logs": {"custom_attributes_by_lua": attributes}, "compression": "gzip",
            "resource_attributes": {"service.name": "shop", "host": "$(headers.host)"},
        });
        let home = Home::new();
        let file = json!({"name": "file-log", "config": {"path": home.text("messages")}});
        home.write("kong.yml", &configuration(&json!([plugin(&receiver, more), file])));
        let mut service = home.start();
        let mut sent = transaction("a");
        sent["request"]["headers"]["traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into();
        service.accept(sent.to_string());
        wait_until("the record is received", || receiver.records().len() == 1);
        let record = receiver.records().remove(0);
        // Bytes are base64 in the JSON of protobuf, and 64-bit numbers texts.
        assert_eq!(record["traceId"], "S/kvNXezTaajzpKdDg5HNg==");
        assert_eq!((&record["spanId"], &record["flags"]), (&json!("APBnqgupArc="), &json!(1)));
        assert_eq!(record["timeUnixNano"], "1700000000135000000");
        assert_eq!(record["body"]["stringValue"], "GET /orders/a 200 12ms");
        for (key, value) in [
            ("http.response.status_code", json!("200")),
            ("kong.latency.total", json!(12.0)),
            ("client.address", json!("192.0.2.1")),
            ("user_agent.original", json!("J\u{fc}rgen \"1\"\n")),
            ("http.request.method", json!("HIDDEN")),
            ("tenant.name", json!("blue")),
        ] {
            assert_eq!(attribute(&record, key), Some(&value), "{key}");
        }
        assert_eq!(attribute(&record, "kind").unwrap()["values"][0], json!({"key": "a", "value": {"intValue": "1"}}));
        assert_eq!((attribute(&record, "url.full"), attribute(&record, "url.path")), (None, None));
        let resource = &receiver.requests()[0]["resourceLogs"][0]["resource"]["attributes"];
        let texts: Vec<_> = resource.as_array().unwrap().iter().map(|one| &one["value"]["stringValue"]).collect();
        assert_eq!(json!(texts), json!(["example.com", "shop"]));
        wait_until("the message is logged", || messages(&service).len() == 1);
        assert_eq!(messages(&service), [sent]);
        assert_eq!(service.stop(), 0);
    }
}

/// Scenario: over both protocols, the receiver is away when the service starts, is killed while transactions arrive, and comes
/// back; the service itself is killed once with records in its queue.
/// Guarantees: every record arrives.
#[test]
fn outages_lose_nothing() {
    for protocol in ["grpc", "http"] {
        let mut receiver = Receiver::absent(protocol, "all");
        let mut service: Service = Home::with(&configuration(&json!([plugin(&receiver, json!({}))]))).start();
        let send = |service: &Service, from: usize| {
            (from..from + 50).for_each(|at| service.accept(transaction(&format!("{at:04}")).to_string()));
        };
        send(&service, 0);
        wait_until("the outage is logged", || service.has_logged("connection refused"));
        service.kill();
        service.start_again();
        receiver.start();
        wait_until("what waited is received", || receiver.has_ids(50));
        send(&service, 50);
        receiver.kill();
        send(&service, 100);
        receiver.start();
        wait_until("every record is received", || receiver.has_ids(150));
        assert_eq!(service.stop(), 0);
    }
}

/// Scenario: over both protocols, a receiver that says of each request that it has not taken one record.
/// Guarantees: the log says so with the receiver's words, the records are counted as lost, and nothing is sent again.
#[test]
fn partial_success_of_a_receiver() {
    for protocol in ["grpc", "http"] {
        let mut receiver = Receiver::absent(protocol, "partial");
        receiver.start();
        let status = free_port();
        let home = Home::with(&configuration(&json!([plugin(&receiver, json!({}))])));
        let mut service = home.set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}")).start();
        service.accept(transaction("a").to_string());
        let labels = [("plugin", "opentelemetry"), ("reason", "lost")];
        let lost = || Scrape::of(status).sum("logphase_messages_dropped_total", &labels);
        wait_until("the record is counted", || lost() == 1.0);
        service.accept(transaction("b").to_string());
        wait_until("the other one, too", || lost() == 2.0);
        assert!(service.has_logged("has not taken 1 of 1 log records") && service.has_logged("too old"));
        assert_eq!(receiver.records().len(), 2);
        assert_eq!(service.stop(), 0);
    }
}

/// Scenario: a service sends its access logs to the OTLP input of another one, over each protocol, which maps the attributes
/// of OpenTelemetry's conventions.
/// Guarantees: the other one logs the same request and response.
#[test]
fn from_service_to_service() {
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        let (mut far, port) = start("inputs:\n  otlp:\n    mapping: otel\n");
        let path = if protocol == "grpc" { "" } else { "/v1/logs" };
        let config = json!({
            "access_logs": {"endpoint": format!("http://127.0.0.1:{port}{path}")}, "protocol": protocol,
            "queue": {"max_coalescing_delay": 0.05},
        });
        let plugins = json!([{"name": "opentelemetry", "config": config}]);
        let mut near = Home::with(&configuration(&plugins)).start();
        let sent = transaction("a");
        near.accept(sent.to_string());
        wait_until("the message is logged", || messages(&far).len() == 1);
        let message = messages(&far).remove(0);
        for path in ["/request/method", "/request/uri", "/response/status", "/client_ip"] {
            assert_eq!(message.pointer(path), sent.pointer(path), "{protocol} {path}: {message}");
        }
        assert_eq!((near.stop(), far.stop()), (0, 0));
    }
}

/// Scenario: `check` and `try` of a plugin with access logs and traces, of one with traces alone, and of one that the sink refuses.
/// Guarantees: what is not sent from here is noted, and a plugin with nothing else does not run; `try` shows the attributes;
/// `check` and `run` refuse the same, at the field.
#[test]
fn what_check_and_try_say() {
    let said = |config: Value, arguments: &[&str]| {
        let home = Home::with(&configuration(&json!([{"name": "opentelemetry", "config": config}])));
        home.run(arguments, transaction("a").to_string().as_bytes())
    };
    let both = json!({
        "access_logs": {"endpoint": "http://h/v1/logs", "custom_attributes_by_lua": {"a.b": "return 1", "c": "return nil"}},
        "traces_endpoint": "http://h/v1/traces",
    });
    let ended = said(both.clone(), &["check", "kong.yml"]);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let shown = ended.stdout + &ended.stderr;
    assert!(shown.contains("plugin `opentelemetry`: `traces_endpoint` has no effect here"), "{shown}");
    let ended = said(both, &["try", "--json", "kong.yml"]);
    let tried: Value = serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&tried["message"]["a.b"], &tried["message"]["c"]), (&json!(1), &Value::Null));
    let traces = json!({"endpoint": "http://h/v1/traces"});
    let ended = said(traces, &["check", "kong.yml"]);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let note = "plugin `opentelemetry` does nothing here: `traces_endpoint` has no effect here";
    let shown = ended.stdout + &ended.stderr;
    assert!(shown.contains(note) && shown.contains("ok: 0 plugins"), "{shown}");
    let bad = json!({"access_logs": {"endpoint": "http://h/v1/logs"}, "protocol": "grpc"});
    let errors = ["check", "run"].map(|command| {
        let ended = said(bad.clone(), &[command, "kong.yml"]);
        assert_eq!(ended.code(), 78, "{}", ended.stderr);
        let shown = ended.stdout + &ended.stderr;
        let line = shown.lines().find(|line| line.contains("access_logs.endpoint")).unwrap_or_default();
        line.rsplit_once("`config.access_logs.endpoint`").map(|(_, rest)| rest.to_owned())
    });
    assert!(errors[0].as_deref().is_some_and(|text| text.contains("has a path")), "{errors:?}");
    assert_eq!(errors[0], errors[1]);
}
