//! The examples of Kong's documentation of `custom_fields_by_lua`, from HTTP to real receivers.

use serde_json::{Value, json};

use crate::service::{Home, TcpPeer, UdpPeer, transaction, wait_until, whole_lines};

fn messages(home: &Home, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path(name)).unwrap_or_default();
    whole_lines(&text)
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Scenario: one `kong.yml` with file-log, udp-log and tcp-log, each with fields from the documentation: `route`
/// removed, `header` added, `my_file.log\.field` nested and escaped, and a field of file-log removed in tcp-log.
/// Guarantees: each receiver gets exactly its message: the transaction with the fields of earlier plugins and its own,
/// secrets redacted; as a line in the file, a datagram without a line end, a line over TCP.
#[test]
fn all_of_them_end_to_end() {
    let (tcp, udp) = (TcpPeer::start(), UdpPeer::start());
    let home = Home::new();
    let kong = format!(
        r#"
_format_version: "3.0"
plugins:
- name: tcp-log
  config:
    host: 127.0.0.1
    port: {tcp}
    custom_fields_by_lua:
      only_up_to_udp: return nil
      from_tcp: return true
- name: udp-log
  config:
    host: 127.0.0.1
    port: {udp}
    custom_fields_by_lua:
      from_udp: return 'udp'
- name: file-log
  config:
    path: {file}
    custom_fields_by_lua:
      route: return nil
      header: return kong.request.get_header('h1')
      my_file.log\.field: return 'a field of its own'
      only_up_to_udp: |
        local status = kong.response.get_status()
        return {{ failed = status >= 500, status = status }}
"#,
        tcp = tcp.port,
        udp = udp.port,
        file = home.text("file.log"),
    );
    home.write("kong.yml", &kong);
    let mut service = home.start();
    service.accept(transaction(7).to_string());
    tcp.wait_for(1);
    udp.wait_for(1);
    wait_until("the file has the message", || messages(&service.home, "file.log").len() == 1);

    let mut expected = transaction(7);
    expected["request"]["headers"]["authorization"] = json!("REDACTED");
    expected.as_object_mut().unwrap().remove("route");
    expected["header"] = json!("v7");
    expected["my_file"] = json!({"log.field": "a field of its own"});
    expected["only_up_to_udp"] = json!({"failed": false, "status": 200});
    assert_eq!(messages(&service.home, "file.log"), [expected.clone()]);
    expected["from_udp"] = json!("udp");
    assert_eq!(udp.datagrams().iter().map(|datagram| parsed(datagram)).collect::<Vec<_>>(), [expected.clone()]);
    assert!(!udp.datagrams()[0].ends_with(b"\n"));
    expected.as_object_mut().unwrap().remove("only_up_to_udp");
    expected["from_tcp"] = json!(true);
    assert_eq!(tcp.lines().iter().map(|line| parsed(line)).collect::<Vec<_>>(), [expected]);
    assert_eq!(service.stop(), 0);
}

/// Scenario: a global file-log, one on a service and one on its route; transactions of that route, of that service, and
/// of neither.
/// Guarantees: only the most specific plugin logs each transaction, and its message has no fields of the others.
#[test]
fn most_specific_plugin_wins() {
    let home = Home::new();
    let plugin = |name: &str| {
        format!(
            "{{name: file-log, config: {{path: {:?}, custom_fields_by_lua: {{by: return '{name}'}}}}}}",
            home.text(name)
        )
    };
    let (global, service, route) = (plugin("global.log"), plugin("service.log"), plugin("route.log"));
    let kong = format!(
        "_format_version: '3.0'\nservices:\n- name: orders-svc\n  plugins: [{service}]\n  routes:\n  - name: orders\n    \
         plugins: [{route}]\nplugins: [{global}]\n"
    );
    home.write("kong.yml", &kong);
    let mut service = home.start();
    let mut of_service = transaction(2);
    of_service["route"]["name"] = json!("another");
    let mut of_none = of_service.clone();
    of_none["request"]["id"] = json!("3");
    of_none["service"]["name"] = json!("another");
    of_none["service"]["id"] = json!("11111111-2222-3333-4444-555555555555");
    service.accept(Value::from(vec![transaction(1), of_service, of_none]).to_string());
    assert_eq!(service.stop(), 0);
    for (name, id) in [("route.log", "1"), ("service.log", "2"), ("global.log", "3")] {
        let messages = messages(&service.home, name);
        assert_eq!(messages.len(), 1, "{name}");
        assert_eq!((&messages[0]["request"]["id"], &messages[0]["by"]), (&json!(id), &json!(name)));
    }
}

/// Scenario: pre-function sets, adds and replaces fields in its `log` phase, post-function sets one; pre-function also
/// has a function for another phase.
/// Guarantees: the message has the edits of pre-function's `log` phase, and not those of post-function or of the other
/// phase.
#[test]
fn functions_around_the_loggers() {
    let home = Home::new();
    let kong = format!(
        r#"
_format_version: "3.0"
plugins:
- name: pre-function
  config:
    access: ["kong.log.set_serialize_value('from_access', 1)"]
    log:
    - kong.log.set_serialize_value('set', 1)
    - |
      kong.log.set_serialize_value('client_ip', 'added', {{mode = 'add'}})
      kong.log.set_serialize_value('source', 'replaced', {{mode = 'replace'}})
      kong.log.set_serialize_value('absent', 'replaced', {{mode = 'replace'}})
- name: post-function
  config:
    log: ["kong.log.set_serialize_value('late', 1)"]
- name: file-log
  config: {{path: {file:?}}}
"#,
        file = home.text("file.log"),
    );
    home.write("kong.yml", &kong);
    let mut service = home.start();
    service.accept(transaction(1).to_string());
    assert_eq!(service.stop(), 0);
    let mut expected = transaction(1);
    expected["request"]["headers"]["authorization"] = json!("REDACTED");
    expected["set"] = json!(1);
    expected["source"] = json!("replaced");
    assert_eq!(messages(&service.home, "file.log"), [expected]);
}

/// Scenario: a configuration in Kong's old format: `name: tcplog`, `value:` instead of `config:`, an `apis` entry as
/// the scope; a transaction of that API and one of another.
/// Guarantees: the configuration works, for that API only.
#[test]
fn configuration_of_long_ago() {
    let peer = TcpPeer::start();
    let kong = format!(
        "_format_version: '1.1'\r\napis:\r\n- name: orders-api\r\n  id: 4d924084-1adb-40a5-c042-63b19db421d1\r\nplugins:\r\n- name: tcplog\r\n  \
         api: orders-api\r\n  value:\r\n    host: 127.0.0.1\r\n    port: {}\r\n",
        peer.port
    );
    let mut service = Home::with(&kong).start();
    for (id, api) in [(1, "another-api"), (2, "orders-api")] {
        let mut transaction = transaction(id);
        transaction["api"] = json!({"name": api});
        service.accept(transaction.to_string());
    }
    peer.wait_for(1);
    assert_eq!(service.stop(), 0);
    assert_eq!(peer.messages().counts, [(2, 1)].into());
}
