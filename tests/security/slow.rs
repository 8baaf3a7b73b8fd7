//! Peers that hold a connection and do not go on: each is cut off by a limit, and costs nobody else anything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::{home, with_tls};
use crate::service::{Authority, Scrape, free_port, transaction, wait_until};

/// More than the longest limit on a peer that is silent from the start: that of HTTP's first request, and of handshakes.
const LONGEST: Duration = Duration::from_secs(90);

/// A connection that sends `beginning`, then `rest` byte by byte and again and again, and returns whether it was cut off.
fn hold(port: u16, beginning: Vec<u8>, rest: &'static [u8]) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.write_all(&beginning).unwrap();
    let begun = Instant::now();
    let mut more = rest.iter().cycle();
    while begun.elapsed() < LONGEST {
        if let Some(byte) = more.next()
            && stream.write_all(&[*byte]).is_err()
        {
            return true;
        }
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return true,
        }
    }
    false
}

/// Scenario: peers that connect and are silent, that stop in the middle, and that send byte by byte without an end: PROXY
/// protocol headers, TLS handshakes, heads of HTTP, lines that are never sent, calls of Envoy's access log service.
/// Guarantees: each is cut off; an honest sender is served all the time; no connection is left.
#[test]
fn peers_that_do_not_go_on() {
    let authority = Authority::new();
    let [tcp, als, status] = [(); 3].map(|()| free_port());
    let home = with_tls(home(&authority), "ALS", false)
        .set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{tcp}"))
        .set("LOGPHASE_TCP_PROXY_PROTOCOL", "all")
        .set("LOGPHASE_TCP_IDLE_TIMEOUT", "2s")
        .set("LOGPHASE_HTTP_IDLE_TIMEOUT", "3s")
        .set("LOGPHASE_ALS_LISTEN", format!("127.0.0.1:{als}"))
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let mut service = home.start();
    let http = service.home.http;
    let head = b"POST / HTTP/1.1\r\nHost: logphase\r\n";
    let body = [&head[..], b"Content-Length: 100000\r\n\r\n{"].concat();
    let peers: Vec<(&str, u16, Vec<u8>, &'static [u8])> = vec![
        ("a silent peer of a proxy", tcp, Vec::new(), b""),
        ("half of a header", tcp, b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec(), b""),
        ("a header byte by byte", tcp, b"PROXY UNKNOWN ".to_vec(), b"x"),
        ("an idle connection", tcp, b"PROXY UNKNOWN\r\n".to_vec(), b""),
        ("a silent peer of TLS", als, Vec::new(), b""),
        ("half of a handshake", als, b"\x16\x03\x01\x02\x00\x01\x00".to_vec(), b""),
        ("a handshake byte by byte", als, b"\x16\x03\x01\x40\x00\x01\x00".to_vec(), b"\0"),
        ("a silent peer of HTTP", http, Vec::new(), b""),
        ("half of a head", http, head.to_vec(), b""),
        ("a head byte by byte", http, head.to_vec(), b"x: y\r\n"),
        ("a body byte by byte", http, body, b" "),
    ];
    let holding: Vec<_> = peers
        .into_iter()
        .map(|(what, port, beginning, rest)| (what, thread::spawn(move || hold(port, beginning, rest))))
        .collect();
    for id in 0..20 {
        service.accept(transaction(id).to_string());
    }
    for (what, held) in holding {
        assert!(held.join().unwrap(), "{what} was not cut off");
    }
    let open = || Scrape::of(status).sum("logphase_input_connections", &[]);
    wait_until("no connection is left", || open() == 0.0);
    let scrape = Scrape::of(status);
    let refused = scrape.sum("logphase_input_connections_refused_total", &[("reason", "proxy_timeout")]);
    let late = scrape.sum("logphase_input_tls_handshakes_total", &[("result", "timeout")]);
    // A header that is too long is refused before its time is over.
    assert!(refused >= 2.0 && late == 3.0, "{refused} {late}");
    service.accept(transaction(20).to_string());
    assert_eq!(service.stop(), 0);
}
