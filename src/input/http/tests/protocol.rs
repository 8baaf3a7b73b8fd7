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
