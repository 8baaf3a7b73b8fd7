//! Hostile data on every input.

use std::io::Write;
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

use serde_json::json;

use crate::service::{Client, Home, Messages, Service, configuration, free_port, transaction, wait_until};

/// More than a hundred bodies without line ends, none of them a valid transaction.
fn bodies() -> Vec<Vec<u8>> {
    let good = transaction(0).to_string();
    // Truncated at many places.
    let mut bodies: Vec<Vec<u8>> = (1..good.len()).step_by(31).map(|end| good.as_bytes()[..end].to_vec()).collect();
    let mut add = |body: &[u8]| bodies.push(body.to_vec());
    // Values other than objects, and more than one value.
    for text in [
        "null", "true", "0", "-1.5e3", "\"text\"", "\"{}\"", "[[]]", "[1]", "[null]", "[[{}]]", "{}{}", "{} {}",
        "{},{}", "[{}][{}]",
    ] {
        add(text.as_bytes());
    }
    // Almost JSON.
    for text in [
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "{\"a\"}",
        "{\"a\":}",
        "{:1}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,}",
        "[{},]",
        "[,{}]",
        "{,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":'b'}",
        "{\"a\":01}",
        "{\"a\":.5}",
        "{\"a\":5.}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":0x10}",
        "{\"a\":-}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":undefined}",
        "{\"a\":True}",
        "{\"a\":nul}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u{41}\"}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":\"\\\"}",
        "{}//",
        "/**/{}",
        "{} #",
        "{}\0",
        "\0{}",
        "--- {}",
        "<log/>",
        "a=b&c=d",
        "<14>1 2026-11-21T10:52:23Z host app - - - text",
        "GET / HTTP/1.1\r",
        "POST / HTTP/1.1\r",
        "PRI * HTTP/2.0\r",
        "\u{feff}[",
        "\u{1b}[31m",
        "%00",
        "${jndi:ldap://x}",
        "'; DROP TABLE logs; --",
        "../../../etc/passwd",
        "{{7*7}}",
    ] {
        add(text.as_bytes());
    }
    // Control characters and invalid UTF-8, inside and outside strings.
    for byte in [0x00_u8, 0x01, 0x08, 0x0b, 0x1b, 0x1f] {
        add(&[b"{\"a\":\"", &[byte][..], b"\"}"].concat());
    }
    for bytes in [
        &b"\xff"[..],
        b"\xfe\xff",
        b"\xc0\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
    ] {
        add(bytes);
        add(&[b"{\"a\":\"", bytes, b"\"}"].concat());
        add(&[b"{\"", bytes, b"\":1}"].concat());
    }
    add(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    add(b"\x1f\x8b\x08\x00\x00\x00\x00\x00");
    add(&[0; 1000]);
    // Beyond the limits on nesting and members.
    add(&b"[".repeat(50_000));
    add(&[&b"{\"a\":"[..], &b"[".repeat(50_000)].concat());
    add(&b"{\"a\":".repeat(10_000));
    add(&[&b"{\"a\":"[..], &b"[".repeat(100), &b"]".repeat(100), b"}"].concat());
    add(&[&b"{\"a\":["[..], &b"1,".repeat(20_000), b"1]}"].concat());
    add(&[&b"{\"a\":\""[..], &b"\\u0000".repeat(10_000)].concat());
    assert!(bodies.len() >= 100, "only {}", bodies.len());
    assert!(bodies.iter().all(|body| !body.contains(&b'\n') && !body.is_empty()));
    bodies
}

/// A transaction one byte over the limit.
fn huge() -> Vec<u8> {
    json!({"request": {"id": "0"}, "padding": "x".repeat(2 << 20)}).to_string().into_bytes()
}

fn home() -> Home {
    let home = Home::new();
    let fields = json!({"seen": "return kong.request.get_header('h1')"});
    let config = json!({"path": home.text("messages.log"), "custom_fields_by_lua": fields});
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": config}])));
    home
}

/// Waits until exactly these messages have arrived, and no others.
#[track_caller]
fn assert_only(service: &Service, ids: &[u64]) {
    let path = service.home.path("messages.log");
    let ids = ids.iter().copied().collect();
    wait_until("the valid messages have arrived", || Messages::read(&path).missing(&ids).is_empty());
    let messages = Messages::read(&path);
    messages.assert_once(&ids);
    assert_eq!(messages.counts.len(), ids.len(), "something hostile was taken");
}

/// Scenario: more than a hundred hostile bodies over HTTP, each on a kept connection as JSON, as lines and as gzip; a
/// valid one after each.
/// Guarantees: each is answered 400 or 413 with the reason, its index, its offset and what to do; none of them is
/// accepted, every valid one is.
#[test]
fn over_http() {
    let mut service = home().start();
    let mut good = Vec::new();
    for (kind, headers) in [
        ("json", "Content-Type: application/json\r\n"),
        ("lines", "Content-Type: application/x-ndjson\r\n"),
        ("gzip", "Content-Encoding: gzip\r\n"),
    ] {
        let mut client = service.client();
        for body in bodies() {
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            let answer = client.post_with(headers, &body).unwrap();
            assert!(matches!(answer.status, 400 | 413), "{} for {shown}", answer.status);
            let fault = answer.json();
            for member in ["error", "help", "code"] {
                assert!(
                    fault[member].as_str().is_some_and(|text| !text.is_empty()),
                    "no {member} for {shown}: {fault}"
                );
            }
            if kind != "gzip" {
                let offset = fault["offset"].as_u64().and_then(|offset| usize::try_from(offset).ok());
                assert!(offset.is_some_and(|offset| offset <= body.len()), "{shown}: {fault}");
                assert!(fault["index"].as_u64().is_some(), "{shown}: {fault}");
            }
            if answer.header("connection") == Some("close") {
                client = service.client();
            }
            let id = u64::try_from(good.len()).unwrap();
            let answer = client.post(transaction(id).to_string().as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "after {shown}: {}", answer.text());
            good.push(id);
        }
    }
    assert_eq!(service.post(huge()).status, 413);
    assert!(service.is_running());
    assert_only(&service, &good);
    assert_eq!(service.stop(), 0);
}

/// Scenario: bytes that are not HTTP, endless heads, too many headers, wrong lengths, connections that break anywhere.
/// Guarantees: the service continues and accepts a valid transaction on another connection.
#[test]
fn on_the_http_port() {
    let mut service = home().start();
    let port = service.home.http;
    let mut raw: Vec<Vec<u8>> = bodies().into_iter().filter(|body| body.len() < 2000).collect();
    let crowd: String = (0..5000).map(|number| format!("x-{number}: y\r\n")).collect();
    for head in [
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}   ".to_owned(),
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}".to_owned(),
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n{}".to_owned(),
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}".to_owned(),
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}".to_owned(),
        format!("POST / HTTP/1.1\r\nHost: x\r\n{crowd}\r\n{{}}"),
        format!("POST /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(300_000)),
        format!("POST / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(300_000)),
        "POST / HTTP/9.9\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense nonsense nonsense".to_owned(),
    ] {
        raw.push(head.into_bytes());
    }
    for bytes in raw {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // The service may answer and close before it has received everything.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Both);
    }
    assert!(service.is_running());
    service.accept(transaction(1).to_string());
    assert_only(&service, &[1]);
    assert_eq!(service.stop(), 0);
}

/// Sends each hostile line between valid ones, on one connection and each on its own connection, and an endless line.
fn lines_over(connect: impl Fn() -> Box<dyn Write>, service: &mut Service) {
    let mut good = Vec::new();
    let mut next = || {
        let id = u64::try_from(good.len()).unwrap();
        good.push(id);
        format!("{}\n", transaction(id)).into_bytes()
    };
    let mut kept = connect();
    for (number, body) in bodies().into_iter().enumerate() {
        kept.write_all(&[&next()[..], &body, b"\n", &next()].concat()).unwrap();
        // Disconnect in the middle of a line.
        connect().write_all(&body).unwrap();
        if number % 10 == 0 {
            kept = connect();
        }
    }
    kept.write_all(&[&huge()[..], b"\r\n", &next(), b"\n\r\n\n", &next()].concat()).unwrap();
    drop(kept);
    assert!(service.is_running());
    assert_only(service, &good);
    assert!(service.has_logged("line"), "rejected lines are logged");
    assert_eq!(service.stop(), 0);
}

/// Scenario: hostile lines over TCP: between valid ones, alone, incomplete, and one of 2 MB.
/// Guarantees: exactly the valid ones are accepted, on the same connections.
#[test]
fn over_tcp() {
    let port = free_port();
    let mut service = home().set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{port}")).start();
    lines_over(|| Box::new(TcpStream::connect(("127.0.0.1", port)).unwrap()), &mut service);
}

/// Scenario: the same over a Unix socket.
/// Guarantees: the same; the socket's file is gone after the service has ended.
#[test]
fn over_a_unix_socket() {
    let home = home();
    let path = home.path("logphase.sock");
    let mut service = home.set("LOGPHASE_UNIX_PATHS", path.to_str().unwrap()).start();
    lines_over(|| Box::new(UnixStream::connect(&path).unwrap()), &mut service);
    assert!(!path.exists());
}

/// Scenario: hostile datagrams, including empty ones and ones of the maximum size, and valid ones between them.
/// Guarantees: exactly the valid ones are accepted.
#[test]
fn over_udp() {
    let port = free_port();
    let mut service = home().set("LOGPHASE_UDP_LISTEN", format!("127.0.0.1:{port}")).start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    let mut good = Vec::new();
    let mut datagrams: Vec<_> = bodies()
        .into_iter()
        .map(|mut body| {
            body.truncate(60_000);
            body
        })
        .collect();
    datagrams.extend([Vec::new(), vec![b'{'; 65_507], vec![b' '; 65_507]]);
    for datagram in datagrams {
        socket.send(&datagram).unwrap();
        let id = u64::try_from(good.len()).unwrap();
        socket.send(transaction(id).to_string().as_bytes()).unwrap();
        good.push(id);
        if id % 16 == 0 {
            // UDP has no back-pressure: send no more at a time than a receive buffer holds.
            let path = service.home.path("messages.log");
            let last = [id].into();
            wait_until("the datagrams so far have arrived", || Messages::read(&path).missing(&last).is_empty());
        }
    }
    assert!(service.is_running());
    assert_only(&service, &good);
    assert!(Client::connect(service.home.http).is_ok());
    assert_eq!(service.stop(), 0);
}

/// Scenario: hostile lines on standard input, between valid ones.
/// Guarantees: exactly the valid ones are delivered; the exit code is 1; the output gives the number of each bad line.
#[test]
fn on_standard_input() {
    let home = home();
    let (mut input, mut bad, mut line, mut good) = (Vec::new(), Vec::new(), 0_u64, Vec::new());
    for body in bodies().into_iter().take(90) {
        input.extend([&body[..], b"\n", transaction(line).to_string().as_bytes(), b"\n"].concat());
        bad.push(line + 1);
        good.push(line);
        line += 2;
    }
    input.extend([&huge()[..], b"\n"].concat());
    bad.push(line + 1);
    let ended = home.run(&["run", "kong.yml", "--stdin"], &input);
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    let messages = Messages::read(&home.path("messages.log"));
    messages.assert_once(&good.iter().copied().collect());
    assert_eq!(messages.counts.len(), good.len());
    for line in bad {
        let named = ended
            .stderr
            .lines()
            .any(|text| text.contains(&format!("line {line}:")) || text.contains(&format!("line {line} ")));
        assert!(named, "line {line} is not named in\n{}", ended.stderr);
    }
}
