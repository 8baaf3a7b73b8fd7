//! Logphase in the place of kuma-dp's access log streamer: lines that name their collector, from real Envoys.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;

use serde_json::{Value, json};

use crate::envoy::peers::Envoy;
use crate::service::{Home, Scrape, Service, Signal, TcpPeer, ask, free_port, request, wait_until};
use crate::tap::Tap;

/// A policy with a TCP backend at this port.
fn policy(port: u16) -> String {
    format!(
        "type: MeshAccessLog\nname: all\nspec:\n  to:\n  - targetRef: {{kind: Mesh}}\n    default:\n      backends:\n      \
         - {{type: Tcp, tcp: {{address: '127.0.0.1:{port}'}}}}\n"
    )
}

/// A service that reads the FIFO `logs/envoy.fifo` of its home, with a policy that names one collector, and settings that allow
/// another.
fn start(named: u16, allowed: u16, status: u16) -> Service {
    let home = Home::with(&policy(named));
    let fifo = home.text("logs/envoy.fifo");
    home.set("LOGPHASE_ACCESS_LOG_STREAMER_FIFOS", fifo)
        .set("LOGPHASE_ACCESS_LOG_STREAMER_ADDRESSES", format!("127.0.0.0/8:{allowed}"))
        .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.2")
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"))
        .start()
}

fn write(service: &Service, text: &str) {
    let mut fifo = OpenOptions::new().write(true).open(service.home.path("logs/envoy.fifo")).unwrap();
    fifo.write_all(text.as_bytes()).unwrap();
}

fn lines(peer: &TcpPeer) -> Vec<String> {
    peer.lines().iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// The messages of the queue of the collector at `port`.
fn waiting(service: &Service, port: u16) -> u64 {
    let address = format!("127.0.0.1:{port}");
    let queues = service.home.queues();
    let queue = queues.iter().find(|queue| queue["plugin"] == "mesh-tcp" && queue["instance_name"] == address.as_str());
    queue.and_then(|queue| queue["messages"].as_u64()).unwrap_or(0)
}

/// An Envoy that answers every request, and writes access logs as Kuma has it do: three collectors at `ports`, the second with a plain
/// and with a JSON format; and to a file of its own, in the format of the first.
fn envoy(service: &Service, listening: u16, [text, wrapped, other]: [u16; 3]) -> Envoy {
    let format = "%REQ(:METHOD)% %REQ(:PATH)% \"%REQ(USER-AGENT)%\" %RESPONSE_CODE%; %PROTOCOL%\n";
    let logger = |file: &str, format: Value| {
        json!({"name": "envoy.access_loggers.file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": service.home.text(file), "log_format": format,
        }})
    };
    let fifo = |format: Value| logger("logs/envoy.fifo", format);
    let text_form = |text: String| json!({"text_format_source": {"inline_string": text}});
    let message = json!({"path": "%REQ(:PATH)%", "code": "%RESPONSE_CODE%", "none": "%REQ(NONE)%", "all": {"b": "%PROTOCOL%", "a": "&"}});
    let wrapped = format!("127.0.0.1:{wrapped}");
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "delayed_close_timeout": "0s",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        }}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "direct_response": {"status": 200}},
        ]}]},
        "access_log": [
            logger("direct.log", text_form(format.to_owned())),
            fifo(text_form(format!("127.0.0.1:{text};{format}"))),
            fifo(json!({"json_format": {"address": wrapped, "message": "plain %REQ(:PATH)%\n"}})),
            fifo(json!({"json_format": {"address": wrapped, "message": message}})),
            fifo(text_form(format!("127.0.0.1:{other};{format}"))),
        ],
    });
    let configuration = json!({"static_resources": {"listeners": [{
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": listening}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }]}});
    Envoy::start(&configuration.to_string(), &[listening])
}

/// What the second collector gets for a request, as Go writes JSON.
fn wrapped_lines(path: &str) -> [String; 2] {
    let escaped = path.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('"', "\\\"");
    let object = format!(
        "{{\"all\":{{\"a\":\"\\u0026\",\"b\":\"HTTP/1.1\"}},\"code\":200,\"none\":null,\"path\":\"{escaped}\"}}"
    );
    [format!("plain {path}"), object]
}

/// Scenario: a real Envoy writes lines of TrafficLogs and of MeshAccessLogs into the FIFO that the service made: for the collector of a
/// policy, for one that the settings allow, and for one that nothing allows. It is restarted. Then both collectors are away, and the
/// service is killed while their lines wait.
/// Guarantees: each line is with its collector as kuma-dp sends it, byte for byte and in order, and once if nothing ended; nothing is
/// lost, and the queue of a collector that only lines name goes on without another line; the others are counted and logged;
/// status, metrics and the list of queues show the collectors.
#[test]
fn a_real_envoy() {
    let (mut named, mut allowed) = (TcpPeer::start(), TcpPeer::start());
    let elsewhere = free_port();
    let status = free_port();
    let mut service = start(named.port, allowed.port, status);
    assert!(std::fs::metadata(service.home.path("logs/envoy.fifo")).unwrap().file_type().is_fifo());
    let ports = [named.port, allowed.port, elsewhere];
    let listening = free_port();
    let mut proxy = envoy(&service, listening, ports);
    let paths: Vec<String> = (0..40).map(|number| format!("/{number}?q=<\"a\">&b;c")).collect();
    let get = |paths: &[String]| {
        for path in paths {
            let exchange = request(listening, "GET", path, &[("user-agent", "test; 1")], "");
            assert_eq!(exchange.head.word(), "200", "{path}");
        }
    };
    get(&paths[..20]);
    named.wait_for(20);
    allowed.wait_for(40);
    drop(proxy);
    proxy = envoy(&service, listening, ports);
    get(&paths[20..30]);
    named.wait_for(30);
    allowed.wait_for(60);
    let direct = || std::fs::read_to_string(service.home.path("direct.log")).unwrap_or_default();
    wait_until("Envoy has written its own file", || direct().lines().count() == 30);
    assert_eq!(lines(&named), direct().lines().collect::<Vec<_>>());
    let expected: Vec<String> = paths[..30].iter().flat_map(|path| wrapped_lines(path)).collect();
    assert_eq!(lines(&allowed), expected);
    check_shown(&service, status, ports);

    named.crash();
    allowed.crash();
    get(&paths[30..]);
    let taken = || Scrape::of(status).sum("logphase_transactions_received_total", &[("input", "access_log_streamer")]);
    wait_until("all lines are in the queues", || taken() == 120.0);
    service.kill();
    named.restart();
    allowed.restart();
    service.start_again();
    let has = |peer: &TcpPeer, expected: &[String]| {
        let lines = lines(peer);
        expected.iter().all(|line| lines.contains(line))
    };
    let expected: Vec<String> = paths[30..].iter().flat_map(|path| wrapped_lines(path)).collect();
    wait_until("the lines of the last run are delivered", || has(&allowed, &expected));
    let direct = std::fs::read_to_string(service.home.path("direct.log")).unwrap();
    let expected: Vec<String> = direct.lines().map(str::to_owned).collect();
    assert_eq!(expected.len(), 40);
    wait_until("those of the policy's collector, too", || has(&named, &expected));
    // The same Envoy goes on with the FIFO that it has open.
    get(&["/last".to_owned()]);
    wait_until("its next line is delivered", || lines(&named).iter().any(|line| line.contains("GET /last ")));
    assert_eq!(service.stop(), 0);
    drop(proxy);
}

fn check_shown(service: &Service, status: u16, [named, allowed, elsewhere]: [u16; 3]) {
    let scrape = Scrape::of(status);
    let of_input =
        |family: &str, more: &[(&str, &str)]| scrape.sum(family, &[&[("input", "access_log_streamer")], more].concat());
    assert_eq!(of_input("logphase_transactions_received_total", &[]), 90.0);
    assert_eq!(of_input("logphase_transactions_rejected_total", &[("reason", "not_allowed")]), 30.0);
    let (_, _, metrics) = ask(status, "GET", "/metrics", "");
    assert!(service.has_logged(&format!("lines may not go to 127.0.0.1:{elsewhere}")), "{}", service.log());
    let (_, _, shown) = ask(status, "GET", "/status", "");
    for port in [named, allowed] {
        assert!(shown.contains(&format!("127.0.0.1:{port}")), "{shown}");
        assert!(metrics.contains(&format!("instance_name=\"127.0.0.1:{port}\"")), "{metrics}");
    }
    assert!(!metrics.contains(&format!("127.0.0.1:{elsewhere}")), "{metrics}");
}

/// Scenario: lines wait for the collector of a policy and for one that the settings allow, both away; a reload names another collector
/// in the policy; then all come back, and lines for all three arrive.
/// Guarantees: what waits is delivered to both; the collector that nothing names any more gets no further line, the others do; the
/// FIFO is gone when the service stops.
#[test]
fn a_reload() {
    let (mut first, mut second, mut allowed) = (TcpPeer::absent(), TcpPeer::start(), TcpPeer::absent());
    let mut service = start(first.port, allowed.port, free_port());
    write(&service, &format!("127.0.0.1:{};one\n127.0.0.1:{};one\n", first.port, allowed.port));
    wait_until("both wait", || waiting(&service, first.port) == 1 && waiting(&service, allowed.port) == 1);
    service.home.write("kong.yml", &policy(second.port));
    service.signal(Signal::HUP);
    wait_until("the configuration is reloaded", || service.has_logged("configuration reloaded"));
    let text: String =
        [first.port, second.port, allowed.port].iter().map(|port| format!("127.0.0.1:{port};two\n")).collect();
    write(&service, &text);
    second.wait_for(1);
    first.restart();
    allowed.restart();
    allowed.wait_for(2);
    first.wait_for(1);
    wait_until("the other line is rejected", || {
        service.has_logged(&format!("lines may not go to 127.0.0.1:{}", first.port))
    });
    assert_eq!((lines(&first), lines(&second)), (vec!["one".to_owned()], vec!["two".to_owned()]));
    assert_eq!(lines(&allowed), ["one", "two"]);
    let fifo = service.home.path("logs/envoy.fifo");
    write(&service, &format!("127.0.0.1:{};read at the stop\n", second.port));
    assert_eq!(service.stop(), 0);
    second.wait_for(2);
    assert_eq!(lines(&second), ["two", "read at the stop"]);
    assert!(!fifo.exists());
    second.crash();
}

/// Scenario: taps on the outputs of all collectors and on that of one, and lines for two, of both forms.
/// Guarantees: the lines are shown under the names of their outputs as they are sent: an object as JSON, anything else as a text.
#[test]
fn taps_show_lines() {
    let (named, allowed) = (TcpPeer::start(), TcpPeer::start());
    let service = start(named.port, allowed.port, free_port());
    let all = Tap::start(&service, &["mesh-tcp", "--json", "--sample", "all"]);
    let one = Tap::start(&service, &[&format!("127.0.0.1:{}", allowed.port), "--json", "--sample", "all"]);
    let wrapped = json!({"address": format!("127.0.0.1:{}", allowed.port), "message": {"b": 1, "a": 2}});
    write(&service, &format!("127.0.0.1:{};a \"text\"\n{wrapped}\n", named.port));
    let text = all.await_message("the text is shown", |message| message["after"] == "a \"text\"");
    assert_eq!(text["instance_name"], format!("127.0.0.1:{}", named.port));
    assert_eq!(text["plugin"], "mesh-tcp");
    let queues = service.home.queues();
    assert!(queues.iter().any(|queue| queue["id"] == text["id"]), "{queues:?}");
    let object = one.await_message("the object is shown", |message| message["plugin"] == "mesh-tcp");
    assert_eq!(object["after"], json!({"a": 2, "b": 1}));
}

/// Scenario: a start with a file in the place of the FIFO, and settings whose addresses are none.
/// Guarantees: both are refused with the place, the reason and what to do, and the file stays.
#[test]
fn settings_that_cannot_be_used() {
    let home = Home::with(&policy(9));
    home.write("taken", "kept");
    let fifo = home.text("taken");
    let ended = home.run_with(&[("LOGPHASE_ACCESS_LOG_STREAMER_FIFOS", &fifo)], &["run", "kong.yml"]);
    assert_eq!(ended.code(), 78, "{}", ended.stderr);
    assert!(ended.stderr.contains("taken is not a FIFO") && ended.stderr.contains("remove it"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(&fifo).unwrap(), "kept");
    home.write(
        "logphase.yml",
        "inputs:\n  access_log_streamer:\n    fifos: [logs.fifo]\n    addresses: ['logs:5000', nowhere]\n",
    );
    let ended = home.run(&["check", "kong.yml"], b"");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code(), 78, "{said}");
    assert!(said.contains("logphase.yml:4") && said.contains("expected HOST:PORT, like logs.example:5000"), "{said}");
}
