//! Envoy at full rate: what arrives, and what it costs (`make envoy-load` for the build that packages hold).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};

use super::example;
use super::peers::Envoy;
use crate::service::{Home, Service, ask, configuration, free_port, wait_until};

/// Connections of the client, each with one request at a time.
const CONNECTIONS: usize = 8;

/// Requests before the measurement.
const WARM_UP: usize = 800;

/// Ticks per second in `/proc` (USER_HZ).
const TICKS: f64 = 100.0;

/// What Logphase may cost of what Envoy does.
const SHARE: f64 = 0.1;

/// A server that answers every request at once.
fn upstream() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = |mut stream: TcpStream| {
        stream.set_nodelay(true).unwrap();
        while read_past_head(&mut stream).is_some() {
            let body = r#"{"id":4711,"state":"shipped"}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    };
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Reads one request without a body; `None` at the end.
fn read_past_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    while !received.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        received.extend_from_slice(&buffer[..read]);
    }
    Some(received)
}

/// Sends requests with these numbers, as a browser does, one after the other on one connection.
fn client(port: u16, numbers: impl Iterator<Item = usize>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    for number in numbers {
        let request = format!(
            "GET /v1/orders/{number}?limit=10&sort=date HTTP/1.1\r\nhost: api.example.com\r\n\
             user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
             accept: application/json\r\naccept-encoding: gzip, deflate, br\r\naccept-language: en-US,en;q=0.5\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"}") {
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "Envoy closes the connection");
            received.extend_from_slice(&buffer[..read]);
        }
        assert!(received.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&received));
    }
}

fn send(port: u16, numbers: std::ops::Range<usize>) {
    thread::scope(|scope| {
        for at in 0..CONNECTIONS {
            let numbers = numbers.clone().skip(at).step_by(CONNECTIONS);
            scope.spawn(move || client(port, numbers));
        }
    });
}

/// The time that a process has computed, in microseconds.
fn computed(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|field| fields[*field].parse::<f64>().unwrap()).sum();
    ticks * 1_000_000.0 / TICKS
}

/// The numbers of the requests whose messages were logged.
fn logged(service: &Service) -> Vec<usize> {
    let text = std::fs::read_to_string(service.home.path("messages")).unwrap_or_default();
    let number = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["request"]["uri"].as_str()?.strip_prefix("/v1/orders/")?.split('?').next()?.parse().ok()
    };
    text.lines().map(|line| number(line).expect("a line is a message of this test")).collect()
}

/// Scenario: the example's Envoy proxies requests of eight connections at full rate, 20,000 or `ENVOY_LOAD_REQUESTS` of them.
/// Guarantees: the message of each arrives once, and Envoy has dropped none. The program of packages (`ENVOY_LOAD_PROGRAM`) computes
/// for under a tenth of the time that Envoy does.
#[test]
fn full_rate() {
    let count = std::env::var("ENVOY_LOAD_REQUESTS").map_or(20_000, |count| count.parse().expect("a number"));
    let (http, tcp, als, admin) = (free_port(), free_port(), free_port(), free_port());
    let packaged = std::env::var_os("ENVOY_LOAD_PROGRAM");
    let mut home = Home::new();
    packaged.iter().for_each(|program| home.use_program(program));
    let path = home.text("messages");
    let plugin = json!([{"name": "file-log", "config": {"path": path}}]);
    home.write("kong.yml", &configuration(&plugin));
    let mut service = home.set("LOGPHASE_ALS_LISTEN", format!("127.0.0.1:{als}")).start();
    let ports = [("10000", http), ("10001", tcp), ("8080", upstream()), ("9083", als)];
    let configuration =
        ports.iter().fold(example("envoy.yaml"), |text, (from, to)| text.replace(from, &to.to_string()));
    let access = format!("admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {admin} }} }} }}\n");
    let envoy = Envoy::start(&format!("{configuration}{access}"), &[http]);
    let lines = |service: &Service| {
        let text = std::fs::read(service.home.path("messages")).unwrap_or_default();
        text.iter().filter(|byte| **byte == b'\n').count()
    };
    send(http, 0..WARM_UP);
    wait_until("the first messages are logged", || lines(&service) == WARM_UP);
    let before = [envoy.id(), service.id()].map(computed);
    let begun = std::time::Instant::now();
    send(http, WARM_UP..WARM_UP + count);
    let took = begun.elapsed().as_secs_f64();
    wait_until("the messages are logged", || lines(&service) >= WARM_UP + count);
    let after = [envoy.id(), service.id()].map(computed);
    let (_, _, stats) = ask(admin, "GET", "/stats?filter=grpc_access_log", "");
    let stat = |name: &str| {
        let line = stats.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("no {name}: {stats}"));
        line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    assert_eq!((stat("logs_dropped"), stat("logs_written")), (0, WARM_UP + count), "{stats}");
    let mut numbers = logged(&service);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..WARM_UP + count), "each message arrives once");
    let [envoy, logphase] = [0, 1].map(|at| (after[at] - before[at]) / count as f64);
    let share = logphase / envoy;
    eprintln!(
        "{count} requests at {:.0}/s: Envoy computes {envoy:.1} us for each, Logphase {logphase:.1} us: {:.1} %",
        count as f64 / took,
        share * 100.0
    );
    if packaged.is_some() {
        assert!(share < SHARE, "Logphase computes too long");
    }
    assert_eq!(service.stop(), 0);
}
