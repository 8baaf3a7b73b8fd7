//! statsd and datadog with receivers of datagrams and lines, and with a real StatsD server.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::service::{Home, Scrape, TcpPeer, UdpPeer, configuration, free_port, transaction, wait_until};

/// The script of the StatsD server, downloaded if it is missing.
fn script() -> &'static Path {
    static SCRIPT: OnceLock<PathBuf> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
        let mut fetch = Command::new(root.join(".ci/npm"));
        let fetch = fetch.arg(root.join("tests/statsd")).arg(built.join("statsd")).output().unwrap();
        assert!(fetch.status.success(), "{}", String::from_utf8_lossy(&fetch.stderr));
        Path::new(String::from_utf8(fetch.stdout).unwrap().trim_end()).join("node_modules/statsd/stats.js")
    })
}

/// A running StatsD server, which keeps what it has counted. Dropping it kills it.
struct StatsD {
    child: Child,
    udp: u16,
    tcp: u16,
    management: u16,
    _directory: TempDir,
}

impl StatsD {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let [udp, tcp, management] = [free_port(), free_port(), free_port()];
        let at =
            |kind: &str, port| json!({"server": format!("./servers/{kind}"), "address": "127.0.0.1", "port": port});
        let config = json!({
            "servers": [at("udp", udp), at("tcp", tcp)], "mgmt_address": "127.0.0.1", "mgmt_port": management,
            // Nothing is flushed while a test runs: flushing starts the counters again.
            "flushInterval": 3_600_000, "backends": [],
        });
        let path = directory.path().join("config.js");
        std::fs::write(&path, config.to_string()).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new("node");
        command.arg(script()).arg(&path).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Self { child: command.spawn().unwrap(), udp, tcp, management, _directory: directory };
        wait_until("the StatsD server listens", || {
            assert!(server.child.try_wait().unwrap().is_none(), "it has ended");
            TcpStream::connect(("127.0.0.1", management)).is_ok() && TcpStream::connect(("127.0.0.1", tcp)).is_ok()
        });
        server
    }

    /// The answer to a command of the management port.
    fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.management)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let (mut answer, mut buffer) = (String::new(), [0; 4096]);
        while !answer.contains("END\n") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "{answer}");
            answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        answer
    }

    /// The number of the metric `name` in the answer to `command`; of a timer, how many numbers it has.
    fn number(&self, command: &str, name: &str) -> usize {
        let answer = self.ask(command);
        let Some((_, rest)) = answer.split_once(&format!("{name}: ")) else { return 0 };
        match rest.strip_prefix('[') {
            Some(numbers) => numbers.split(']').next().unwrap().split(',').count(),
            None => rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap(),
        }
    }
}

impl Drop for StatsD {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ten transactions of a consumer: nine with the status 200, one with 503.
fn ten() -> String {
    let mut all: Vec<Value> = (1..=10).map(transaction).collect();
    for (latency, transaction) in all.iter_mut().enumerate() {
        transaction["consumer"] = json!({"id": "c1", "username": "bob", "custom_id": "robert"});
        transaction["workspace"] = json!("w1");
        transaction["latencies"]["request"] = json!(latency);
    }
    all[9]["response"]["status"] = json!(503);
    Value::from(all).to_string()
}

/// Scenario: a real StatsD server; the default metrics over UDP, in datagrams of a metric and of several, and over TCP.
/// Guarantees: the server counts each transaction once, with every latency, status and user, and finds no bad line.
#[test]
fn a_real_server_counts_every_transaction() {
    for more in [json!({}), json!({"udp_packet_size": 400, "queue": {"max_batch_size": 4}}), json!({"use_tcp": true})] {
        let server = StatsD::start();
        let mut config =
            json!({"host": "127.0.0.1", "port": if more["use_tcp"] == true { server.tcp } else { server.udp }});
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        let mut service = Home::with(&configuration(&json!([{"name": "statsd", "config": config}]))).start();
        service.accept(ten());
        let of_service = |name: &str| format!("'kong.service.orders-svc.{name}'");
        let counters = [
            ("request.count", 10),
            ("request.size", 1200),
            ("response.size", 5120),
            ("status.200", 9),
            ("status.503", 1),
            ("user.robert.request.count", 10),
            ("user.robert.status.200", 9),
            ("workspace.w1.status.503", 1),
        ];
        let of_route = "'kong.route.a9bbd44c-a2fa-4f4e-9b8b-6c4c4b4b5c0a.user.robert.status.200'";
        for (name, number) in
            counters.map(|(name, number)| (of_service(name), number)).into_iter().chain([(of_route.to_owned(), 9)])
        {
            wait_until(&format!("{name} is {number}"), || server.number("counters", &name) == number);
        }
        for name in ["latency", "upstream_latency", "kong_latency"] {
            wait_until(&format!("ten times {name}"), || server.number("timers", &of_service(name)) == 10);
        }
        assert_eq!(service.stop(), 0);
        assert!(server.ask("stats").contains("bad_lines_seen: 0"), "{}", server.ask("stats"));
    }
}

/// Scenario: statsd and datadog for all transactions, and a statsd of its own for a route; consumers; an edit of a
/// pre-function; a rule of redaction; a clone of datadog for one consumer.
/// Guarantees: the datagrams are Kong's, of the plugins that apply; edits and redaction come before them.
#[test]
fn datagrams_as_kong_sends_them() {
    let [stats, own, agent, cloned] = [(); 4].map(|()| UdpPeer::start());
    let at = |peer: &UdpPeer, more: Value| {
        let mut config = json!({"host": "127.0.0.1", "port": peer.port});
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        config
    };
    let kong = json!({
        "_format_version": "3.0",
        "cloned_plugins": [{"name": "datadog-eu", "ref": "datadog", "priority": 3}],
        "consumers": [{"username": "bob:1"}],
        "routes": [{"name": "own", "paths": ["/own"], "plugins": [{"name": "statsd", "config": at(&own, json!({
            "prefix": "own", "tag_style": "dogstatsd", "hostname": "gw.1",
            "metrics": [{"name": "response_size", "stat_type": "histogram", "sample_rate": 0.5}],
        }))}]}],
        "plugins": [
            {"name": "statsd", "config": at(&stats, json!({"metrics": [
                {"name": "status_count", "stat_type": "counter", "sample_rate": 1},
                {"name": "unique_users", "stat_type": "set", "consumer_identifier": "username"},
            ]}))},
            {"name": "datadog", "config": at(&agent, json!({
                "metrics": [{"name": "request_size", "stat_type": "timer", "tags": ["env:test"], "consumer_identifier": "username"}],
                "redact": [{"key": "consumer.username"}],
            }))},
            {"name": "datadog-eu", "consumer": "bob:1", "config": at(&cloned, json!({
                "metrics": [{"name": "kong_latency", "stat_type": "gauge", "sample_rate": 1}],
            }))},
            {"name": "pre-function", "config": {"log": ["kong.log.set_serialize_value('request.size', 7)"]}},
        ],
    });
    let status = free_port();
    let home = Home::with(&kong.to_string()).set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let mut service = home.start();
    let mut one = transaction(1);
    one["consumer"] = json!({"username": "bob:1"});
    let mut two = transaction(2);
    two["route"] = json!({"name": "own"});
    service.accept(json!([one, two]).to_string());
    stats.wait_for(2);
    own.wait_for(1);
    agent.wait_for(2);
    cloned.wait_for(1);
    let metrics = Scrape::of(status);
    assert_eq!(service.stop(), 0);
    let texts = |peer: &UdpPeer| {
        let datagrams = peer.datagrams().into_iter();
        datagrams.map(|datagram| String::from_utf8(datagram).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        texts(&stats),
        ["kong.service.orders-svc.status.200:1|c", "kong.service.orders-svc.user.uniques:bob_1|s"]
    );
    assert_eq!(texts(&own), ["own.response.size:512|h|@0.5|#service:orders-svc,route:own,node:gw_1,status:200"]);
    assert_eq!(
        texts(&agent),
        [
            "kong.request.size:7|ms|#name:orders-svc,status:200,consumer:***,env:test",
            "kong.request.size:7|ms|#name:orders-svc,status:200,env:test",
        ]
    );
    assert_eq!(texts(&cloned), ["kong.kong_latency:2|g|#name:orders-svc,status:200"]);
    let names: Vec<_> = metrics.plugins().into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().any(|name| name == "datadog") && names.iter().any(|name| name == "statsd"), "{names:?}");
}

/// Scenario: datadog with a null host and port, and an agent that the environment names; then a port that is no number.
/// Guarantees: the metrics go to that agent; the other port is refused by `check` and `run` alike.
#[test]
fn the_agent_of_the_environment() {
    let agent = UdpPeer::start();
    let kong = configuration(&json!([{"name": "datadog", "config": {"host": null, "port": null}}]));
    let home = Home::with(&kong).set("KONG_DATADOG_AGENT_HOST", "127.0.0.1");
    let mut service = home.set("KONG_DATADOG_AGENT_PORT", agent.port.to_string()).start();
    service.accept(transaction(1).to_string());
    agent.wait_for(6);
    assert_eq!(service.stop(), 0);
    let home = Home::with(&kong);
    for command in ["check", "run"] {
        let ended = home.run_with(&[("KONG_DATADOG_AGENT_PORT", "agent")], &[command, "kong.yml"]);
        assert_eq!(ended.code(), 78, "{}", ended.stderr);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("`config.port` of plugin `datadog`"), "{said}");
    }
}

/// Scenario: statsd over TCP, whose server is not there at first, and with a queue on disk also after a restart of the service.
/// Guarantees: the metrics wait, and each arrives once.
#[test]
fn metrics_wait_for_the_server() {
    let mut server = TcpPeer::absent();
    let config = json!({
        "host": "127.0.0.1", "port": server.port, "use_tcp": true, "queue": {"durability": "disk", "max_retry_delay": 0.2},
        "metrics": [{"name": "request_count", "stat_type": "counter", "sample_rate": 1}],
    });
    let mut service = Home::with(&configuration(&json!([{"name": "statsd", "config": config}]))).start();
    service.accept(ten());
    wait_until("the sink has failed", || service.has_logged("cannot connect"));
    assert_eq!(service.stop(), 0);
    service.start_again();
    service.accept(transaction(11).to_string());
    server.restart();
    server.wait_for(11);
    assert_eq!(service.stop(), 0);
    assert_eq!(server.lines(), vec![b"kong.service.orders-svc.request.count:1|c".to_vec(); 11]);
}

/// Scenario: no server of datagrams.
/// Guarantees: the messages whose datagrams the network refuses are counted as lost, and the log says why.
#[test]
fn refused_datagrams_are_counted() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let mut service =
        Home::with(&configuration(&json!([{"name": "datadog", "config": {"host": "127.0.0.1", "port": port}}])))
            .start();
    wait_until("datagrams are lost", || {
        service.accept(transaction(1).to_string());
        service.has_logged("no receiver listens at")
    });
    assert_eq!(service.stop(), 0);
}

/// Scenario: `check` and `try` of both plugins, with a field for `try` and without; a transaction of which nothing is sent.
/// Guarantees: `check` notes the metric that only Kong can send; `try` shows the message and what is sent of it, and gives the
/// field to no plugin that cannot have it.
#[test]
fn check_and_try() {
    let kong = configuration(&json!([
        {"name": "statsd", "config": {"allow_status_codes": ["200-299"], "udp_packet_size": 80, "metrics": [
            {"name": "request_count", "stat_type": "counter", "sample_rate": 1}, {"name": "latency", "stat_type": "timer"},
            {"name": "kong_latency", "stat_type": "timer"}, {"name": "shdict_usage", "stat_type": "gauge", "sample_rate": 1},
        ]}},
        {"name": "datadog", "config": {"metrics": [{"name": "latency", "stat_type": "timer"}]}},
        {"name": "file-log", "config": {"path": "/tmp/x", "format": "%RESPONSE_CODE% %PROTOCOL%"}},
    ]));
    let home = Home::with(&kong);
    let ended = home.run(&["check", "kong.yml"], b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
    assert_eq!(
        ended.stdout.matches("only Kong knows the memory of its shared dictionaries").count(),
        1,
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("statsd") && !ended.stdout.contains("not sent from here"), "{}", ended.stdout);
    let mut refused = transaction(2);
    refused["response"]["status"] = json!(404);
    let input = format!("{}\n{refused}\n", transaction(1));
    let ended = home.run(&["try", "--json", "kong.yml", "--field", "a=return 1"], input.as_bytes());
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> = lines.iter().map(|line| (line["plugin"].as_str().unwrap(), line["sent"].clone())).collect();
    let [two, three] = [
        "kong.service.orders-svc.request.count:1|c\nkong.service.orders-svc.latency:30|ms",
        "kong.service.orders-svc.kong_latency:2|ms",
    ];
    let expected = [
        ("statsd", json!([two, three])),
        ("datadog", json!(["kong.latency:30|ms|#name:orders-svc,status:200"])),
        ("file-log", json!(["200 -"])),
        ("statsd", json!([])),
        ("datadog", json!(["kong.latency:30|ms|#name:orders-svc,status:404"])),
        ("file-log", json!(["404 -"])),
    ];
    assert_eq!(found, expected);
    assert!(lines.iter().all(|line| (line["message"]["a"] == 1) == (line["plugin"] == "file-log")), "{lines:?}");
    let pretty = home.run(&["try", "kong.yml"], input.as_bytes());
    assert!(pretty.stdout.contains(
        "\nsent as:\n  kong.service.orders-svc.request.count:1|c\n    kong.service.orders-svc.latency:30|ms\n  kong"
    ));
    assert!(pretty.stdout.contains("\nnothing is sent for it\n"), "{}", pretty.stdout);
}
