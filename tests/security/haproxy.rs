//! A real HAProxy in front of the inputs, which says with the PROXY protocol who its clients are.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use super::{home, messages, with_tls};
use crate::service::{Authority, Home, Scrape, Service, TIMEOUT, free_port, transaction, wait_until};

/// Where clients connect from.
const CLIENT: [u8; 4] = [127, 0, 0, 5];

/// A running HAProxy. Dropping it kills it.
struct Haproxy {
    child: Child,
}

impl Haproxy {
    /// Forwards each port to a server with its options.
    fn start(home: &Home, forwards: &[(u16, u16, &str)]) -> Self {
        let mut text =
            "defaults\n mode tcp\n timeout connect 30s\n timeout client 60s\n timeout server 60s\n".to_owned();
        for (from, to, options) in forwards {
            text.push_str(&format!(
                "listen {from}\n bind 127.0.0.1:{from}\n server logphase 127.0.0.1:{to} {options}\n"
            ));
        }
        home.write("haproxy.cfg", &text);
        let mut command = Command::new("haproxy");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin")).arg("-db").arg("-f").arg(home.path("haproxy.cfg"));
        let said = std::fs::File::create(home.path("haproxy.said")).unwrap();
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        let mut haproxy = Self { child: command.spawn().expect("haproxy of the Debian package haproxy") };
        wait_until("HAProxy listens", || {
            let ended = haproxy.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(home.path("haproxy.said")).unwrap());
            forwards.iter().all(|(port, ..)| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection from [`CLIENT`].
fn connect(port: u16) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((CLIENT, 0)).into()).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

fn refused(status: u16, input: &str) -> f64 {
    Scrape::of(status).sum("logphase_input_connections_refused_total", &[("input", input)])
}

fn wait_for_message(service: &Service, id: u64) {
    wait_until("the message arrives", || {
        messages(service).iter().any(|message| crate::service::id_of(message) == Some(id))
    });
}

/// Scenario: HAProxy with `send-proxy`, with `send-proxy-v2` and extensions, and with TLS and a client certificate behind the
/// header, each with health checks, in front of the TCP input; a good and a bad line of a client.
/// Guarantees: the good line arrives; the log names the client for the bad one, not HAProxy; health checks are not refused.
#[test]
fn in_front_of_tcp() {
    let authority = Authority::new();
    let [tcp, status, one, two, direct] = [(); 5].map(|()| free_port());
    let home = home(&authority)
        .set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{tcp}"))
        .set("LOGPHASE_TCP_PROXY_PROTOCOL", "127.0.0.1,::1")
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let mut service = home.start();
    let haproxy = Haproxy::start(
        &service.home,
        &[
            (one, tcp, "check inter 100ms send-proxy"),
            (two, tcp, "check inter 100ms send-proxy-v2 proxy-v2-options crc32c,unique-id"),
            (direct, tcp, ""),
        ],
    );
    for (id, port) in [(1, one), (2, two)] {
        let mut stream = connect(port);
        let client = stream.local_addr().unwrap();
        writeln!(stream, "{}\n{{\"bad\":", transaction(id)).unwrap();
        wait_for_message(&service, id);
        wait_until("the client is named", || service.has_logged(&format!("peer={client}")));
    }
    assert_eq!(refused(status, "tcp"), 0.0);
    // Without the header, nothing of it is taken.
    let mut stream = connect(direct);
    let _ = writeln!(stream, "{}", transaction(90));
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    assert!(refused(status, "tcp") >= 1.0);
    let reason = "the connection does not begin with a PROXY protocol header";
    wait_until("the reason is logged", || service.has_logged(reason));
    drop(haproxy);
    assert_eq!(messages(&service).len(), 2);
    assert_eq!(service.stop(), 0);
}

/// Scenario: HAProxy encrypts and has a client certificate; the header precedes the handshake.
/// Guarantees: the line arrives, and the client is named.
#[test]
fn with_mutual_tls() {
    let authority = Authority::new();
    let [tcp, port] = [(); 2].map(|()| free_port());
    let home = with_tls(home(&authority), "TCP", true)
        .set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{tcp}"))
        .set("LOGPHASE_TCP_PROXY_PROTOCOL", "127.0.0.0/8");
    let mut service = home.start();
    let read = |name: &str| std::fs::read_to_string(service.home.path(name)).unwrap();
    service.home.write("both.pem", &[read("client.pem"), read("client.key")].concat());
    let (ca, both) = (service.home.text("ca.pem"), service.home.text("both.pem"));
    let options = format!("send-proxy-v2 ssl verify required ca-file {ca} crt {both} verifyhost localhost");
    let _haproxy = Haproxy::start(&service.home, &[(port, tcp, &options)]);
    let mut stream = connect(port);
    let client = stream.local_addr().unwrap();
    writeln!(stream, "{}\nnonsense", transaction(1)).unwrap();
    wait_for_message(&service, 1);
    wait_until("the client is named", || service.has_logged(&format!("peer={client}")));
    assert_eq!(service.stop(), 0);
}

/// Posts a transaction and returns the first line of the answer, empty without one.
fn post(stream: &TcpStream, id: u64) -> String {
    let body = transaction(id).to_string();
    let mut line = String::new();
    let _ = write!(&*stream, "POST / HTTP/1.1\r\nHost: logphase\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

/// Scenario: HAProxy in front of the HTTP input, where a peer may have one connection: a client with two, and another client.
/// Guarantees: the first of each is answered; the second of the one is closed and counted, although all come through HAProxy.
#[test]
fn in_front_of_http() {
    let [status, port] = [(); 2].map(|()| free_port());
    let home = home(&Authority::new())
        .set("LOGPHASE_HTTP_PROXY_PROTOCOL", "all")
        .set("LOGPHASE_HTTP_PER_PEER_CONNECTIONS", "1")
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let mut service = home.start();
    let _haproxy = Haproxy::start(&service.home, &[(port, service.home.http, "send-proxy-v2")]);
    let first = connect(port);
    assert!(post(&first, 1).starts_with("HTTP/1.1 200"));
    let second = connect(port);
    assert_eq!(post(&second, 90), "");
    let labels = [("input", "http"), ("reason", "peer_connections")];
    assert!(Scrape::of(status).sum("logphase_input_connections_refused_total", &labels) >= 1.0);
    wait_until("another client is answered", || {
        // A connection of the test that looked whether HAProxy listens may still be there.
        let other = TcpStream::connect(("127.0.0.1", port)).unwrap();
        other.set_read_timeout(Some(TIMEOUT)).unwrap();
        post(&other, 2).starts_with("HTTP/1.1 200")
    });
    wait_for_message(&service, 2);
    assert_eq!(service.stop(), 0);
}
