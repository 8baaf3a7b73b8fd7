//! 10,000 random and mutated inputs to each listener: the service lives, its memory is bounded, and it takes an honest one
//! afterwards. A new input is one more row of [`listeners`].

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{home, with_tls};

use crate::service::{Authority, Home, Messages, Service, free_port, transaction, wait_until};

/// Inputs to each listener.
const INPUTS: usize = 10_000;

/// Megabytes of resident memory that the service may need more than before.
const MEMORY: u64 = 300;

/// The seed of all choices; a failure is repeated with it.
const SEED: u64 = 0x5eed_1e55;

/// How the bytes get there.
#[derive(Clone)]
enum Way {
    Tcp(u16),
    Unix(PathBuf),
    Udp(u16),
}

/// A listener, and valid input for it.
struct Listener {
    name: &'static str,
    way: Way,
    /// Inputs that are sent together on one connection, as a connection may carry many of them.
    together: usize,
    /// What mutations begin with. None of them is taken as it is.
    seeds: Vec<Vec<u8>>,
    /// Makes a whole conversation with one transaction.
    honest: fn(u64) -> Vec<u8>,
    /// What comes before it.
    prefix: String,
}

/// Every listener that settings can turn on, with those settings.
fn listeners(home: Home) -> (Home, Vec<Listener>) {
    let [tcp, udp, als, otlp, syslog, streamer] = [(); 6].map(|()| free_port());
    let socket = home.path("lines.sock");
    let http = home.http;
    let home = home
        .set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{tcp}"))
        .set("LOGPHASE_UDP_LISTEN", format!("127.0.0.1:{udp}"))
        .set("LOGPHASE_ALS_LISTEN", format!("127.0.0.1:{als}"))
        .set("LOGPHASE_OTLP_LISTEN", format!("127.0.0.1:{otlp}"))
        .set("LOGPHASE_ACCESS_LOG_STREAMER_LISTEN", format!("127.0.0.1:{streamer}"))
        .set("LOGPHASE_ACCESS_LOG_STREAMER_ADDRESSES", format!("127.0.0.1:{tcp}"))
        .set("LOGPHASE_UNIX_PATHS", socket.to_str().unwrap())
        .set("LOGPHASE_SYSLOG_TCP", format!("127.0.0.1:{syslog}"))
        .set("LOGPHASE_SYSLOG_UDP", format!("127.0.0.1:{syslog}"));
    let rows = vec![
        Listener {
            name: "http",
            way: Way::Tcp(http),
            together: 1,
            seeds: http_seeds(),
            honest: request,
            prefix: String::new(),
        },
        Listener {
            name: "tcp",
            way: Way::Tcp(tcp),
            together: 10,
            seeds: line_seeds(),
            honest: line,
            prefix: String::new(),
        },
        Listener {
            name: "unix",
            way: Way::Unix(socket),
            together: 10,
            seeds: line_seeds(),
            honest: line,
            prefix: String::new(),
        },
        Listener {
            name: "udp",
            way: Way::Udp(udp),
            together: 1,
            seeds: line_seeds(),
            honest: line,
            prefix: String::new(),
        },
        Listener {
            name: "syslog",
            way: Way::Tcp(syslog),
            together: 10,
            seeds: syslog_seeds(),
            honest: syslog_line,
            prefix: String::new(),
        },
        Listener {
            name: "syslog over UDP",
            way: Way::Udp(syslog),
            together: 1,
            seeds: syslog_seeds(),
            honest: syslog_line,
            prefix: String::new(),
        },
        Listener {
            name: "als",
            way: Way::Tcp(als),
            together: 1,
            seeds: vec![stream(7), stream(8)],
            honest: stream,
            prefix: String::new(),
        },
        // Its collector is the TCP input.
        Listener {
            name: "access_log_streamer",
            way: Way::Tcp(streamer),
            together: 10,
            seeds: streamed_seeds(tcp),
            honest: line,
            prefix: format!("127.0.0.1:{tcp};"),
        },
        Listener {
            name: "otlp",
            way: Way::Tcp(otlp),
            together: 1,
            seeds: otlp_seeds(),
            honest: otlp_request,
            prefix: String::new(),
        },
    ];
    (home, rows)
}

fn line(id: u64) -> Vec<u8> {
    format!("{}\n", transaction(id)).into_bytes()
}

fn line_seeds() -> Vec<Vec<u8>> {
    let escaped = br#"{"request":{"id":"\u00e9\ud83d\ude00","headers":{"a":["1","2"]}},"n":-1.5e300,"t":[true,null]}"#;
    vec![line(1_000_001), escaped.to_vec(), b"[{\"a\":1},{\"b\":[[[[[]]]]]}]".to_vec()]
}

/// Lines for a collector at this port, of both forms.
fn streamed_seeds(port: u16) -> Vec<Vec<u8>> {
    let address = format!("127.0.0.1:{port}");
    let wrapped = |message: serde_json::Value| json!({"address": address, "message": message}).to_string().into_bytes();
    let text = [format!("{address};").as_bytes(), &line(1_000_001)].concat();
    vec![text, wrapped(json!("a text\n")), wrapped(json!({"b": [1.5e300, null, "\u{2028}<&>"], "a": {"c": true}}))]
}

fn syslog_line(id: u64) -> Vec<u8> {
    [b"<134>1 2026-11-29T10:00:00Z host app 7 ID [a@1 b=\"c\"] ", &line(id)[..]].concat()
}

fn syslog_seeds() -> Vec<Vec<u8>> {
    let old = [b"<190>Nov 29 10:00:00 host nginx: ", &line(1_000_001)[..]].concat();
    let counted = [b"6 <1>1 -", &b"34 <134>1 - - - - - - {\"request\":{}}"[..]].concat();
    vec![syslog_line(1_000_001), old, counted]
}

fn request(id: u64) -> Vec<u8> {
    let body = transaction(id).to_string();
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nHost: logphase\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The same as a log record of OpenTelemetry.
fn otlp_request(id: u64) -> Vec<u8> {
    let record = json!({"body": {"stringValue": transaction(id).to_string()}});
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).to_string();
    let length = body.len();
    format!(
        "POST /v1/logs HTTP/1.1\r\nHost: logphase\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn otlp_seeds() -> Vec<Vec<u8>> {
    let mut grpc = http2("/opentelemetry.proto.collector.logs.v1.LogsService/Export", "application/grpc");
    grpc.extend(frame(0, 1, 1, b"\0\0\0\0\x0a\x0a\x08\x12\x06\x12\x04\x2a\x02\x10\x01"));
    vec![otlp_request(1_000_001), grpc]
}

fn http_seeds() -> Vec<Vec<u8>> {
    let chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let gzip = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae";
    let mut http2 = http2("/", "application/json");
    http2.extend(frame(0, 1, 1, b"{}"));
    vec![request(1_000_001), chunked.to_vec(), gzip.to_vec(), http2]
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The beginning of a connection of HTTP/2, up to the headers of a request, which are literals (RFC 7541, section 6.2.2).
fn http2(path: &str, content_type: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", content_type),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    let settings = frame(4, 0, 0, b"");
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &frame(1, 4, 1, &block)].concat()
}

/// A field of a Protobuf message that has a length.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut length = value.len();
    let mut out = vec![number << 3 | 2];
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    [out, value.to_vec()].concat()
}

/// A call of Envoy's access log service with one entry, whose request id is `id`.
fn stream(id: u64) -> Vec<u8> {
    let path = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";
    // HTTPRequestProperties: path 5, request_id 9; HTTPAccessLogEntry: common_properties 1 with a start_time 5, request 3;
    // StreamAccessLogsMessage: http_logs 2 with log_entry 1.
    let request = [field(5, b"/orders"), field(9, id.to_string().as_bytes())].concat();
    let entry = [field(1, &field(5, &[8, 1])), field(3, &request)].concat();
    let message = field(2, &field(1, &entry));
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let mut bytes = http2(path, "application/grpc");
    bytes.extend(frame(0, 1, 1, &[&[0][..], &length, &message].concat()));
    bytes
}

/// A sequence of numbers that depends on the seed alone (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(value).unwrap() % bound.max(1)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }

    /// Random bytes, or a seed with a few changes.
    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if self.below(5) == 0 {
            let length = self.below(400);
            return self.bytes(length);
        }
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len());
            match self.below(7) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = [0, 0xff, 0x7f, b'\n', b'"', b'{', b'0', b' '][self.below(8)],
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..(at + self.below(20)).min(bytes.len()))),
                4 => {
                    let (length, more) = (self.below(20), at.min(bytes.len()));
                    let inserted = self.bytes(length);
                    bytes.splice(more..more, inserted);
                }
                5 => {
                    let end = (at + self.below(200)).min(bytes.len());
                    let again = bytes[at.min(end)..end].to_vec();
                    bytes.extend(again);
                }
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len());
                    bytes.truncate(at);
                    bytes.extend(&other[from..]);
                }
            }
        }
        bytes
    }
}

/// Sends bytes on a connection, and closes it in one of several ways.
fn send(way: &Way, bytes: &[u8], close: usize) {
    // The service may answer and close before it has received everything.
    match way {
        Way::Tcp(port) => {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", *port)) else { return };
            let _ = stream.write_all(bytes);
            match close {
                0 => drop(stream.shutdown(Shutdown::Write)),
                // A reset; it also leaves no port in TIME_WAIT.
                1.. => drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
            }
            if close < 2 {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(5)));
                let _ = stream.read(&mut [0; 512]);
            }
        }
        Way::Unix(path) => {
            let Ok(mut stream) = UnixStream::connect(path) else { return };
            let _ = stream.write_all(bytes);
        }
        Way::Udp(_) => unreachable!("datagrams have no connection"),
    }
}

fn attack(listener: &Listener, seed: u64) {
    let mut random = Random(seed);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..INPUTS / listener.together {
        let mut bytes = Vec::new();
        for _ in 0..listener.together {
            bytes.extend(random.input(&listener.seeds));
            if listener.together > 1 {
                bytes.push(b'\n');
            }
        }
        match listener.way {
            Way::Udp(port) => drop(socket.send_to(&bytes, ("127.0.0.1", port))),
            _ => send(&listener.way, &bytes, random.below(4)),
        }
    }
}

/// Sends a transaction until it arrives.
fn assert_honest(listener: &Listener, service: &Service, id: u64) {
    let path = service.home.path("messages.log");
    let bytes = [listener.prefix.as_bytes(), &(listener.honest)(id)].concat();
    let mut again = Instant::now();
    let mut kept = Vec::new();
    wait_until(&format!("an honest transaction arrives over {}", listener.name), || {
        if again <= Instant::now() {
            again = Instant::now() + Duration::from_secs(5);
            match &listener.way {
                Way::Udp(port) => drop(UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&bytes, ("127.0.0.1", *port))),
                Way::Unix(path) => {
                    let mut stream = UnixStream::connect(path).unwrap();
                    let _ = stream.write_all(&bytes);
                }
                Way::Tcp(port) => {
                    let mut stream = TcpStream::connect(("127.0.0.1", *port)).unwrap();
                    let _ = stream.write_all(&bytes);
                    // HTTP/2 ends with its connection.
                    kept.push(stream);
                }
            }
        }
        Messages::read(&path).counts.contains_key(&id)
    });
}

/// Resident memory of the service, in megabytes: the largest so far, and now.
fn memory(service: &Service) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    };
    (value("VmHWM:"), value("VmRSS:"))
}

/// Attacks all listeners at the same time, and then asks each of them.
fn assert_survives(service: &mut Service, listeners: Vec<Listener>) {
    for (id, listener) in (1..).zip(&listeners) {
        assert_honest(listener, service, id);
    }
    let (_, before) = memory(service);
    thread::scope(|scope| {
        for (number, listener) in (0..).zip(&listeners) {
            scope.spawn(move || attack(listener, SEED + number));
        }
    });
    assert!(service.is_running());
    for (id, listener) in (101..).zip(&listeners) {
        assert_honest(listener, service, id);
    }
    let (most, now) = memory(service);
    eprintln!("memory: {before} MB before, {most} MB at most, {now} MB after {} listeners", listeners.len());
    assert!(most < before + MEMORY, "{most} MB, and {before} MB before");
    assert!(!service.has_logged("a bug of the service"), "a connection has panicked");
    assert_eq!(service.stop(), 0);
}

/// Scenario: every listener gets 10,000 inputs at the same time: random bytes, and valid ones that are cut, changed,
/// repeated and joined; connections that are ended and reset.
/// Guarantees: the service runs, its memory stays within a bound, no connection panics, and every listener takes an honest
/// transaction afterwards.
#[test]
fn every_listener() {
    let (home, listeners) = listeners(home(&Authority::new()));
    assert_survives(&mut home.start(), listeners);
}

/// A `ClientHello` as OpenSSL sends it, without extensions that name anything.
fn client_hello() -> Vec<u8> {
    let suites = [0x13, 0x01, 0x13, 0x02, 0xc0, 0x2b, 0xc0, 0x2f];
    let extensions = [
        &[0, 0x0a, 0, 4, 0, 2, 0, 0x17][..],
        &[0, 0x0d, 0, 6, 0, 4, 4, 3, 8, 4],
        &[0, 0x2b, 0, 5, 4, 3, 4, 3, 3],
        &[0, 0x10, 0, 5, 0, 3, 2, b'h', b'2'],
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 8]);
    body.extend(suites);
    body.extend([1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    let record = u16::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[22, 3, 1][..], &record, &[1, 0], &length, &body].concat()
}

fn proxied_line(id: u64) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\x12\x67\0\x50", &line(id)[..]].concat()
}

/// Scenario: the same for what precedes an input's own protocol: TLS handshakes of HTTP and TCP, PROXY protocol headers of
/// the TCP input.
/// Guarantees: the same.
#[test]
fn handshakes_and_headers() {
    let authority = Authority::new();
    let lines = free_port();
    let home = with_tls(home(&authority), "HTTP", false)
        .set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{lines}"))
        .set("LOGPHASE_TCP_PROXY_PROTOCOL", "all");
    let mut headers = vec![proxied_line(1_000_001)];
    headers.push([b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n", &line(1_000_001)[..]].concat());
    headers.push(b"PROXY UNKNOWN\r\n{}\n".to_vec());
    let mut service = home.start();
    let proxied = Listener {
        name: "tcp behind a proxy",
        way: Way::Tcp(lines),
        together: 1,
        seeds: headers,
        honest: proxied_line,
        prefix: String::new(),
    };
    let secure = Listener {
        name: "http over TLS",
        way: Way::Tcp(service.home.http),
        together: 1,
        seeds: vec![client_hello()],
        honest: request,
        prefix: String::new(),
    };
    assert_honest(&proxied, &service, 1);
    let (_, before) = memory(&service);
    thread::scope(|scope| {
        scope.spawn(|| attack(&proxied, SEED));
        scope.spawn(|| attack(&secure, SEED + 1));
    });
    assert!(service.is_running());
    assert_honest(&proxied, &service, 101);
    let ca = service.home.text("ca.pem");
    let (status, text) = super::curl(&service, 102, &["--cacert", &ca]);
    assert_eq!(status, 200, "{text}");
    let (most, _) = memory(&service);
    assert!(most < before + MEMORY, "{most} MB, and {before} MB before");
    assert!(!service.has_logged("a bug of the service"), "a connection has panicked");
    assert_eq!(service.stop(), 0);
}
