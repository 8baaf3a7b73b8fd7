//! Templates with a real Envoy: what its own file logger prints, and what Logphase makes of the entries that the same Envoy
//! sends to its access log service.

mod config;
mod service;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

use logphase_protocol::envoy::entry::{HttpEntry, TcpEntry};
use logphase_protocol::format::{AlsEntry, JsonTemplate, Options, Placeholders, Source, Template};

use self::config::{LOGS, Log, OPERATORS, SEPARATOR, json_template, text_template};
use self::service::{AccessLogService, Received};
use super::peers::{Envoy, echo};
use crate::service::{Authority, Home, Upstream, free_port, wait_until};

struct World {
    home: Home,
    service: AccessLogService,
    _envoy: Envoy,
    _upstream: Upstream,
    http: u16,
    https: u16,
    tcp: u16,
    tcp_tls: u16,
    tcp_down: u16,
}

impl World {
    fn start() -> Self {
        let home = Home::new();
        let authority = Authority::new();
        home.write("ca.pem", &authority.pem());
        for (file, name) in [("server", "server.example"), ("client", "client.example")] {
            let (certificate, key) = authority.issue(name);
            home.write(&format!("{file}.pem"), &certificate);
            home.write(&format!("{file}.key"), &key);
        }
        let (service, upstream) = (AccessLogService::start(), Upstream::start());
        let [http, https, tcp, tcp_tls, tcp_down, down] = [(); 6].map(|()| free_port());
        let ports = config::Ports {
            http,
            https,
            tcp,
            tcp_tls,
            tcp_down,
            down,
            upstream: upstream.port,
            echo: echo(),
            service: service.port,
        };
        let envoy = Envoy::start(&config::configuration(&ports, &home).to_string(), &[http]);
        Self { home, service, _envoy: envoy, _upstream: upstream, http, https, tcp, tcp_tls, tcp_down }
    }

    /// A request with curl; how it ends is Envoy's matter.
    fn curl(&self, path: &str, more: &[&str]) {
        let url = format!("http://127.0.0.1:{}{path}", self.http);
        let arguments = ["-s", "-o", "/dev/null", "--max-time", "20", "--globoff", "--path-as-is"];
        Command::new("curl").args(arguments).args(more).arg(url).status().unwrap();
    }

    fn curl_tls(&self, path: &str, more: &[&str]) {
        let url = format!("https://server.example:{}{path}", self.https);
        let resolve = format!("server.example:{}:127.0.0.1", self.https);
        let ca = self.home.text("ca.pem");
        let arguments = ["-s", "-o", "/dev/null", "--max-time", "20", "--cacert", &ca, "--resolve", &resolve];
        let status = Command::new("curl").args(arguments).args(more).arg(url).status().unwrap();
        assert!(status.success(), "{path}");
    }

    /// Bytes to the HTTP listener, and the answer to its end.
    fn raw(&self, bytes: &[u8], wait: bool) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        stream.write_all(bytes).unwrap();
        if wait {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }

    /// The lines of Envoy's file logger.
    fn lines(&self, name: &str) -> Vec<String> {
        let bytes = std::fs::read(self.home.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    /// Waits until the logger and the service have as many records of each log as they should.
    fn wait(&self, expected: &[(Log, usize)]) {
        for (log, count) in expected {
            wait_until(&format!("{count} records of {}", log.name), || {
                self.lines(&log.file("text")).len() >= *count && self.service.received(log.name).len() >= *count
            });
        }
    }
}

/// The requests; the number of records that they make.
fn http_traffic(world: &World) -> usize {
    let slow_client = || {
        let mut stream = TcpStream::connect(("127.0.0.1", world.http)).unwrap();
        stream.write_all(b"GET /up/slow-left HTTP/1.1\r\nhost: api.example\r\nx-case: left\r\n\r\n").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let _ = stream.shutdown(Shutdown::Both);
    };
    let requests: &[(&str, &[&str])] = &[
        (
            "/up/a?x=1%202&b=&a=3&flag&y=%C3%A4+%26&x=9",
            &["-A", "agent/1.0 (x)", "-e", "http://ref.example/p", "-H", "x-quote: a\"b\\c\td"],
        ),
        ("/up/utf8", &["-H", "x-utf8: häß€漢", "-H", "x-empty;", "-H", "x-long: 0123456789"]),
        ("/up/post", &["-d", "{\"a\":1}", "-H", "content-type: application/json"]),
        ("/up/forwarded", &["-H", "x-forwarded-for: 203.0.113.7, 10.0.0.1", "-H", "x-request-id: my-id"]),
        ("/up/missing", &["-X", "PURGE"]),
        ("/up/error", &["-X", "DELETE"]),
        ("/up/reset", &[]),
        ("/down", &[]),
        ("/down-retried", &[]),
        ("/flaky", &[]),
        ("/flaky-exhausted", &[]),
        ("/old/a?b=c&d=%2Fe", &[]),
        ("/none", &[]),
        ("/redirect", &[]),
        ("/direct", &["-I"]),
        ("/empty", &[]),
        ("/unknown", &[]),
        ("/slow", &[]),
        ("/grpc", &["-H", "content-type: application/grpc+proto"]),
        ("/grpc", &["-H", "content-type: application/json"]),
        ("/grpc-none", &["-H", "content-type: application/grpc"]),
        ("/up/grpc-without", &["-H", "content-type: application/grpc"]),
        ("/up/missing-grpc", &["-H", "content-type: application/grpc+json"]),
        ("/up/h2?q=%7e", &["--http2-prior-knowledge", "-H", "x-empty;"]),
        ("/up/h2-post", &["--http2-prior-knowledge", "-d", "body of h2"]),
        ("/up/http10", &["--http1.0"]),
        ("/up/long", &[]),
        ("/up/q?", &[]),
        ("/up/q?&&a", &[]),
        ("/up/q?a=%41%zz%4", &[]),
    ];
    for (path, more) in requests {
        world.curl(path, more);
    }
    slow_client();
    world.raw(b"GET /up/odd HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n\r\n", true);
    requests.len() + 2
}

fn tls_traffic(world: &World) -> usize {
    let (client, key) = (world.home.text("client.pem"), world.home.text("client.key"));
    world.curl_tls("/up/tls13", &["--cert", &client, "--key", &key]);
    world.curl_tls("/up/tls12", &["--tls-max", "1.2", "--http1.1"]);
    world.curl_tls("/up/tls-h2?a=b", &["--http2", "-H", "x-case: h2"]);
    3
}

fn tcp_session(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// What the file logger prints that an entry of the access log service does not tell. `rendered` is what is there instead.
/// The same list is in docs/access-log-format.md.
fn cannot_agree(operator: &str, printed: &str, rendered: &str) -> bool {
    match operator {
        // The cluster of the route, although no host was selected.
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => {
            rendered == "-" && matches!(printed, "empty" | "down" | "upstream")
        }
        // A gRPC request whose answer has no grpc-status: Envoy derives one of the HTTP status.
        operator if operator.starts_with("GRPC_STATUS") => {
            let derived = ["Unknown", "UNKNOWN", "2", "Unimplemented", "UNIMPLEMENTED", "12"];
            rendered == "-" && derived.contains(&printed)
        }
        _ => false,
    }
}

fn render(received: &Received, text: &Template, json: &[JsonTemplate]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let placeholders = Placeholders::default();
    let (mut line, mut lines) = (Vec::new(), Vec::new());
    let mut make = |entry: &AlsEntry<'_>| {
        text.render(entry, &mut line);
        for template in json {
            let mut line = Vec::new();
            template.render(entry, &mut line);
            lines.push(line);
        }
    };
    match received {
        Received::Http(bytes) => {
            let entry = HttpEntry::decode(bytes).unwrap();
            make(&AlsEntry::http(&entry, &placeholders).unwrap());
        }
        Received::Tcp(bytes) => {
            let entry = TcpEntry::decode(bytes).unwrap();
            make(&AlsEntry::tcp(&entry, &placeholders).unwrap());
        }
    }
    (line, lines)
}

/// Compares the records of a log, operator by operator; returns how many values were compared.
fn compare(world: &World, log: &Log, wrong: &mut Vec<String>) -> usize {
    let options = Options::new(Source::Als);
    let text = Template::new(&text_template(), &options).unwrap_or_else(|errors| panic!("{errors:?}"));
    let omit = Options { omit_empty: true, ..options.clone() };
    let json = [&options, &omit].map(|options| JsonTemplate::new(&json_template(), options).unwrap());
    let printed = world.lines(&log.file("text"));
    let printed_json = [world.lines(&log.file("json")), world.lines(&log.file("omit"))];
    let received = world.service.received(log.name);
    assert_eq!((printed.len(), printed.len()), (received.len(), printed_json[0].len()), "{}", log.name);
    let mut compared = 0;
    for (index, (printed, received)) in printed.iter().zip(&received).enumerate() {
        let (line, lines) = render(received, &text, &json);
        let line = String::from_utf8_lossy(&line).into_owned();
        let record = printed.split(SEPARATOR).next().unwrap_or_default().to_owned();
        let mut agrees = true;
        for ((operator, printed), rendered) in OPERATORS.iter().zip(printed.split(SEPARATOR)).zip(line.split(SEPARATOR))
        {
            compared += 1;
            if printed != rendered {
                agrees = false;
                if !cannot_agree(operator, printed, rendered) {
                    wrong.push(format!("{} {record}: %{operator}%: {printed:?}, but {rendered:?}", log.name));
                }
            }
        }
        for (printed, rendered) in printed_json.iter().map(|lines| &lines[index]).zip(&lines) {
            compared += 1;
            if agrees && printed.as_bytes() != rendered.as_slice() {
                wrong.push(format!("{} {record}, JSON:\n{printed}\n{}", log.name, String::from_utf8_lossy(rendered)));
            }
        }
    }
    compared
}

/// Scenario: HTTP/1.0, 1.1 and 2, TLS 1.2 and 1.3 with a client certificate, and TCP through a real Envoy: served, rewritten,
/// redirected, retried, answered by Envoy, with the upstream down, slow or reset, and with the client gone. The same template
/// with every operator that entries carry is given to Envoy's file logger, as text, as JSON and with `omit_empty_values`.
/// Guarantees: the lines agree, operator by operator and byte by byte, but for what docs/access-log-format.md lists.
#[test]
fn as_envoys_own_file_logger() {
    let world = World::start();
    let (http, https) = (http_traffic(&world), tls_traffic(&world));
    tcp_session(world.tcp, b"hello, upstream");
    tcp_session(world.tcp, b"");
    tcp_session(world.tcp_down, b"hello");
    let tls = format!("127.0.0.1:{}", world.tcp_tls);
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &tls, "-servername", "tcp.example", "-quiet", "-no_ign_eof"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"over TLS\n").unwrap();
    child.wait().unwrap();
    let counts = [http, https, 2, 1, 1];
    // Envoy::start has asked whether the first listener is there; that makes no record.
    let expected: Vec<_> = LOGS.into_iter().zip(counts).collect();
    world.wait(&expected);
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for log in &LOGS {
        compared += compare(&world, log, &mut wrong);
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 3500, "{compared}");
}
