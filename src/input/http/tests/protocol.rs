//! Odd and slow clients, HTTP/1.0 and HTTP/2, and stopping.

use super::*;

/// Scenario: a body in chunks of one byte, several requests written at once, and HTTP/1.0.
/// Guarantees: all are taken, in order, on a connection that stays open (except for 1.0).
#[tokio::test]
async fn chunked_and_pipelined() {
    let harness = Harness::start(input());
    let mut client = Client::connect(&harness).await;
    let mut chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for byte in transaction(0).bytes() {
        chunked.extend_from_slice(&[b"1\r\n", &[byte][..], b"\r\n"].concat());
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    for i in 1..20 {
        chunked.extend_from_slice(&request("POST", "/", JSON, transaction(i).as_bytes()));
    }
    client.write(chunked).await;
    for _ in 0..20 {
        assert_eq!(client.read().await.unwrap().status, 200);
    }
    let mut old = Client::connect(&harness).await;
    let text = transaction(20);
    old.write(format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{text}", text.len())).await;
    assert_eq!(old.read().await.unwrap().status, 200);
    assert!(old.closed().await);
    assert_eq!(harness.worker().taken(), (0..21).map(transaction).collect::<Vec<_>>());
}

/// Scenario: a client that waits for `100 Continue` before it sends its body, as curl does for large ones.
/// Guarantees: it gets `100 Continue`, and then the response.
#[tokio::test]
async fn expect_continue() {
    let harness = Harness::start(input());
    let mut client = Client::connect(&harness).await;
    client.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.read().await.unwrap().status, 100);
    client.write("{}").await;
    assert_eq!(client.read().await.unwrap().status, 200);
}

/// Scenario: HTTP/2 without TLS and without an upgrade: one request with a body, one for another path.
/// Guarantees: 200 and 404, on one connection.
#[tokio::test]
async fn http2() {
    const HEADERS: u8 = 1;
    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }
    let harness = Harness::start(input());
    let mut client = Client::connect(&harness).await;
    client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.write(frame(4, 0, 0, &[])).await;
    // From HPACK's static table: POST, http, path "/"; then a literal authority.
    client.write(frame(HEADERS, 4, 1, b"\x83\x86\x84\x01\x01x")).await;
    client.write(frame(0, 1, 1, br#"{"h2":1}"#)).await;
    client.write(frame(HEADERS, 5, 3, b"\x83\x86\x04\x05/nope\x01\x01x")).await;
    // The first byte of a block of response headers is the status: 0x88 is 200, 0x8d is 404.
    let mut statuses = Vec::new();
    while statuses.len() < 2 {
        assert!(client.fill(|bytes| bytes.len() >= 9).await);
        let length = usize::from(client.unread[1]) << 8 | usize::from(client.unread[2]);
        assert!(client.fill(|bytes| bytes.len() >= 9 + length).await);
        let frame: Vec<u8> = client.unread.drain(..9 + length).collect();
        if frame[3] == HEADERS {
            statuses.push((frame[8], frame[9..].iter().copied().find(|byte| *byte >= 0x80)));
        }
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [(1, Some(0x88)), (3, Some(0x8d))]);
    assert_eq!(harness.worker().taken(), [r#"{"h2":1}"#]);
}

/// Scenario: headers that arrive slowly and never end; a connection that sends nothing; a body that never ends.
/// Guarantees: the first is answered 408 at the header timeout although bytes keep arriving, the second closed at
/// the idle timeout and not before, the third answered 408; others are served meanwhile.
#[tokio::test]
async fn slow_clients() {
    let (header_timeout, body_timeout) = (Duration::from_millis(200), Duration::from_millis(300));
    let idle_timeout = Duration::from_millis(800);
    let settings = Settings { idle_timeout, ..settings() };
    let harness = Harness::start(Http { settings, header_timeout, body_timeout, ..input() });
    let start = Instant::now();
    let mut body = Client::connect(&harness).await;
    body.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").await;
    let mut kept = Client::connect(&harness).await;
    kept.write(request("POST", "/", JSON, b"{}")).await;
    assert_eq!(kept.read().await.unwrap().status, 200);

    let mut head = TcpStream::connect(harness.inet()).await.unwrap();
    head.write_all(b"POST / HTTP/1.1\r\n").await.unwrap();
    let mut head = Client { stream: head, unread: Vec::new() };
    let mut drip = tokio::time::interval(Duration::from_millis(10));
    let reply = loop {
        tokio::select! {
            reply = head.read() => break reply.unwrap(),
            _ = drip.tick() => assert!(start.elapsed() < Duration::from_secs(5), "the headers are cut off"),
        }
        let _ = head.stream.write_all(b"X: y\r\n").await;
    };
    assert_eq!((reply.status, &reply.error()["code"]), (408, &"timeout".into()));
    assert!(start.elapsed() >= header_timeout && reply.closes());

    let reply = body.read().await.unwrap();
    assert_eq!((reply.status, &reply.error()["code"]), (408, &"timeout".into()));
    assert!(start.elapsed() >= body_timeout && reply.closes());
    assert!(kept.closed().await);
    assert!(start.elapsed() >= idle_timeout);
    assert_eq!(harness.counters().rejected(Reason::Timeout), 2);
    assert_eq!(post(&harness, JSON, "{}").await.status, 200);
}

/// Scenario: clients that disconnect: in the headers, in the body, before the response; and one that closes its writing half.
/// Guarantees: no incomplete request is taken, a complete one is counted, the half-open one is answered, nothing leaks.
#[tokio::test]
async fn clients_that_disconnect() {
    let harness = Harness::start(input());
    for text in ["POST", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{}"] {
        let mut client = Client::connect(&harness).await;
        client.write(text).await;
    }
    let mut half = Client::connect(&harness).await;
    half.write(request("POST", "/", JSON, b"{\"half\":1}")).await;
    half.stream.shutdown().await.unwrap();
    assert_eq!(half.read().await.unwrap().status, 200);

    harness.worker().set(Behavior::Hold);
    let mut gone = Client::connect(&harness).await;
    gone.write(request("POST", "/", JSON, b"{\"gone\":1}")).await;
    wait_until("both to be read", || harness.counters().bytes() == 20).await;
    drop(gone);
    harness.worker().set(Behavior::Take);
    wait_until("it to be counted", || harness.counters().received() == 2).await;
    drop(half);
    wait_until("the connections to end", || harness.counters().open_connections() == 0).await;
    assert_eq!(harness.worker().taken(), [r#"{"half":1}"#, r#"{"gone":1}"#]);
}

/// Scenario: bytes that are not HTTP, headers without an end, odd lengths.
/// Guarantees: each connection ends without anything taken, and the service goes on.
#[tokio::test]
async fn not_http() {
    let harness = Harness::start(input());
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1000));
    let cases: [&[u8]; 9] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"{\"a\":1}\n{\"b\":2}\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        long.as_bytes(),
        many.as_bytes(),
    ];
    for case in cases {
        let mut stream = TcpStream::connect(harness.inet()).await.unwrap();
        // It may be closed while it still sends.
        let _ = stream.write_all(case).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("an end");
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(harness.worker().taken().is_empty());
    assert_eq!(post(&harness, JSON, "{}").await.status, 200);
}

/// Scenario: a stop while one request waits for its queues, one is half sent, one connection is idle, and one has
/// sent half of its headers.
/// Guarantees: the first two are finished and answered; idle ones are closed at once; what begins now gets 503 with
/// `Connection: close`; then everything ends.
#[tokio::test]
async fn stop() {
    let mut harness = Harness::start(input());
    let mut idle = Client::connect(&harness).await;
    idle.write(request("POST", "/", JSON, b"{\"idle\":1}")).await;
    assert_eq!(idle.read().await.unwrap().status, 200);
    let mut late = Client::connect(&harness).await;
    late.write("POST / HTTP/1.1\r\nHost: x\r\n").await;
    harness.worker().set(Behavior::Hold);
    let mut waiting = Client::connect(&harness).await;
    waiting.write(request("POST", "/", JSON, b"{\"wait\":1}")).await;
    wait_until("the request to be read", || harness.counters().bytes() == 20).await;
    let mut sending = Client::connect(&harness).await;
    sending.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(sending.read().await.unwrap().status, 100);
    wait_until("four connections", || harness.counters().open_connections() == 4).await;

    harness.stop.send_replace(true);
    assert!(idle.closed().await);
    late.write("Content-Length: 2\r\n\r\n{}").await;
    let reply = late.read().await.unwrap();
    assert_eq!((reply.status, &reply.error()["code"]), (503, &"shutting_down".into()));
    assert!(reply.closes());
    assert!(TcpStream::connect(harness.inet()).await.is_err());

    harness.worker().set(Behavior::Take);
    sending.write("{\"send\":1}").await;
    for client in [&mut waiting, &mut sending] {
        assert_eq!(client.read().await.unwrap().status, 200);
        assert!(client.closed().await);
    }
    harness.stop().await;
    let mut taken = harness.worker().taken();
    taken.sort();
    assert_eq!(taken, [r#"{"idle":1}"#, r#"{"send":1}"#, r#"{"wait":1}"#]);
}

/// Scenario: the intake is closed (the deadline of a shutdown) under a request.
/// Guarantees: 503, never a 200 for what was not taken.
#[tokio::test]
async fn closed_intake() {
    let harness = Harness::start(input());
    harness.worker().set(Behavior::Refuse(IntakeError::ShuttingDown));
    assert_eq!(post(&harness, JSON, "{}").await.status, 503);
    harness.intake.close();
    let reply = post(&harness, JSON, "{}").await;
    assert_eq!(reply.status, 503);
    assert!(reply.closes());
    assert!(harness.worker().taken().is_empty());
}

/// Scenario: heads that hyper would answer without a word or take: too many or too large headers, lengths and encodings
/// that can be read in two ways, bare LF, two or no Host; each after a good request in the same write, and alone in two
/// writes.
/// Guarantees: the good request is answered first; then a status with a reason, and the end of the connection; each is
/// counted, and nothing of it is taken.
#[tokio::test]
async fn bad_heads() {
    let harness = Harness::start(input());
    let post = |headers: &str| format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n{{\"bad\":1}}");
    let cases = [
        (431, "headers_too_large", post(&format!("Host: x\r\n{}Content-Length: 9", "X: y\r\n".repeat(150)))),
        (431, "headers_too_large", post(&format!("Host: x\r\nX: {}", "y".repeat(300_000)))),
        (400, "bad_request", post("Host: x\r\nContent-Length: 9x")),
        (400, "bad_request", post("Host: x\r\nContent-Length: 9\r\nTransfer-Encoding: chunked")),
        (501, "unsupported_transfer_encoding", post("Host: x\r\nTransfer-Encoding: gzip, chunked")),
        (400, "bad_request", "POST / HTTP/1.1\nHost: x\nContent-Length: 9\n\n{\"bad\":1}".to_owned()),
        (400, "bad_request", post("Content-Length: 9")),
        (400, "bad_request", post("Host: x\r\nHost: x\r\nContent-Length: 9")),
        (414, "uri_too_long", format!("POST /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(300_000))),
        (400, "bad_request", "\u{16}\u{3}\u{1}hello".to_owned()),
    ];
    for (number, (status, code, bad)) in cases.iter().enumerate() {
        let good = request("POST", "/", JSON, format!("{{\"n\":{number}}}").as_bytes());
        let (first, rest) = bad.as_bytes().split_at(bad.len() / 2);
        for (pipelined, writes) in
            [(true, [[&good[..], first].concat(), rest.to_vec()]), (false, [first.to_vec(), rest.to_vec()])]
        {
            let mut client = Client::connect(&harness).await;
            for write in writes {
                // It may be refused by then.
                let _ = client.stream.write_all(&write).await;
                tokio::task::yield_now().await;
            }
            let shown = &bad[..bad.len().min(60)];
            if pipelined {
                assert_eq!(client.read().await.unwrap().status, 200, "{shown}");
            }
            let reply = client.read().await.unwrap_or_else(|| panic!("no answer to {shown}"));
            assert_eq!((reply.status, &reply.error()["code"]), (*status, &(*code).into()), "{shown}");
            assert!(reply.closes() && client.closed().await, "{shown}");
        }
    }
    assert_eq!(harness.worker().taken().len(), cases.len());
    assert_eq!(harness.counters().rejected_total(), 2 * cases.len() as u64);
    wait_until("the connections to end", || harness.counters().open_connections() == 0).await;
}

/// Scenario: more connections than allowed, of which one is idle, one is in its headers and one in its body; none of them
/// sends any more.
/// Guarantees: new ones are served at once; those whose request had begun are answered 408; each is counted.
#[tokio::test]
async fn connections_make_room() {
    let settings = Settings { max_connections: 3, ..settings() };
    let harness = Harness::start(Http { settings, ..input() });
    let mut idle = Client::connect(&harness).await;
    idle.write(request("POST", "/", JSON, b"{}")).await;
    assert_eq!(idle.read().await.unwrap().status, 200);
    let mut head = Client::connect(&harness).await;
    head.write("POST / HTTP/1.1\r\nHost: x\r\n").await;
    let mut body = Client::connect(&harness).await;
    body.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{").await;
    wait_until("three connections", || harness.counters().open_connections() == 3).await;
    for _ in 0..3 {
        assert_eq!(post(&harness, JSON, "{}").await.status, 200);
    }
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(&harness).await;
        client.write(request("POST", "/", JSON, b"{}")).await;
        assert_eq!(client.read().await.unwrap().status, 200);
        kept.push(client);
    }
    assert!(idle.closed().await);
    for client in [&mut head, &mut body] {
        let reply = client.read().await.expect("an answer");
        assert_eq!((reply.status, &reply.error()["code"]), (408, &"too_slow".into()));
    }
    assert_eq!(harness.counters().shed_connections(), 3);
}

/// Scenario: stalled bodies that fill the memory for bodies, then small and large ones; later a body below the minimum
/// rate.
/// Guarantees: both are taken at once; the stalled ones make room one by one and are answered 408; so is the slow one.
#[tokio::test]
async fn stalled_bodies_make_room() {
    let settings = Settings { min_rate: 1 << 20, ..settings() };
    let harness = Harness::start(Http { settings, max_body_bytes: 1 << 20, max_bytes_in_flight: 4 << 20, ..input() });
    let mut stalled = Vec::new();
    for number in 1..=4 {
        let mut client = Client::connect(&harness).await;
        client.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n").await;
        client.write(vec![b' '; 1_048_575]).await;
        stalled.push(client);
        wait_until("the connection", || harness.counters().open_connections() == number).await;
    }
    // The service has read what was written when a request on another connection is answered; one at a time is enough.
    let mut large = b"{}".to_vec();
    large.resize(1 << 20, b' ');
    for body in [&b"{}"[..], &large, b"{}", &large] {
        assert_eq!(post(&harness, JSON, body).await.status, 200);
    }
    let begun = Instant::now();
    for client in &mut stalled {
        let reply = client.read().await.expect("an answer");
        assert_eq!(reply.status, 408);
    }
    assert!(begun.elapsed() < BODY_TIMEOUT / 2, "the minimum rate is demanded");
    assert_eq!(harness.counters().rejected(Reason::Timeout), 4);
}

/// Scenario: names in `Host` that a web page can give itself, on a listener of this machine alone.
/// Guarantees: 421 that says which setting allows a name; addresses, and names that nobody can register, are taken.
#[tokio::test]
async fn names_of_the_input() {
    let settings = Settings { allowed_hosts: vec!["logs.example.com".to_owned()], ..settings() };
    let harness = Harness::start(Http { settings, ..input() });
    for (host, status) in [
        ("127.0.0.1:9080", 200),
        ("localhost", 200),
        ("logphase:9080", 200),
        ("logs.example.com:9080", 200),
        ("evil.example:9080", 421),
    ] {
        let mut client = Client::connect(&harness).await;
        client.write(format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}")).await;
        let reply = client.read().await.unwrap();
        assert_eq!(reply.status, status, "{host}");
        if status == 421 {
            assert!(reply.error()["error"].as_str().unwrap().contains("inputs.http.allowed_hosts"));
        }
    }
}
