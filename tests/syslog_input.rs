//! Syslog as an input: what rsyslogd, logger and nginx send, and what is hostile.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::service::{
    Home, Messages, Nginx, Scrape, Service, ask, configuration, free_port, id_of, transaction, wait_until, whole_lines,
};

/// A service with the syslog input on all transports, whose messages have the header in the member `syslog`.
struct World {
    service: Service,
    udp: u16,
    tcp: u16,
    status: u16,
}

impl World {
    fn start() -> Self {
        let [udp, tcp, status] = [(); 3].map(|()| free_port());
        let home = Home::new();
        let config = json!({"path": home.text("messages")});
        home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": config}])));
        let socket = home.text("log");
        let home = home
            .set("LOGPHASE_SYSLOG_UDP", format!("127.0.0.1:{udp}"))
            .set("LOGPHASE_SYSLOG_TCP", format!("127.0.0.1:{tcp}"))
            .set("LOGPHASE_SYSLOG_PATHS", socket)
            .set("LOGPHASE_SYSLOG_HEADER_MEMBER", "syslog")
            .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
        Self { service: home.start(), udp, tcp, status }
    }

    fn socket(&self) -> String {
        self.service.home.text("log")
    }

    fn messages(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.service.home.path("messages")).unwrap_or_default();
        whole_lines(&text)
    }

    #[track_caller]
    fn wait_for(&self, messages: usize) -> Vec<Value> {
        wait_until(&format!("{messages} messages have arrived"), || self.messages().len() >= messages);
        self.messages()
    }

    fn rejected(&self, reason: &str) -> f64 {
        let labels = [("input", "syslog"), ("reason", reason)];
        Scrape::of(self.status).sum("logphase_transactions_rejected_total", &labels)
    }
}

/// A real rsyslogd that forwards what arrives at its socket.
struct Forwarder {
    directory: TempDir,
    child: Child,
}

impl Forwarder {
    /// `ways` are the actions that forward.
    fn start(ways: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().to_str().expect("a temporary directory has a plain name").to_owned();
        let text = format!(
            "global(workDirectory=\"{path}\" maxMessageSize=\"256k\")\n\
             module(load=\"imuxsock\" sysSock.use=\"off\")\n\
             input(type=\"imuxsock\" socket=\"{path}/log\")\n{ways}"
        );
        std::fs::write(directory.path().join("conf"), text).unwrap();
        let said = std::fs::File::create(directory.path().join("said")).unwrap();
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command.args(["-n", "-i"]).arg(directory.path().join("pid")).arg("-f").arg(directory.path().join("conf"));
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        let mut child = command.spawn().expect("rsyslogd of the Debian package rsyslog");
        wait_until("rsyslogd receives messages", || {
            let said = || std::fs::read_to_string(directory.path().join("said")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "rsyslogd ended: {}", said());
            UnixDatagram::unbound().unwrap().connect(directory.path().join("log")).is_ok()
        });
        Self { directory, child }
    }

    fn send(&self, message: &str) {
        let socket = UnixDatagram::unbound().unwrap();
        socket.send_to(message.as_bytes(), self.directory.path().join("log")).unwrap();
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Scenario: what Kong's syslog plugin writes to the local daemon, a large one and a daemon's own line among it; a real
/// rsyslogd forwards everything over UDP, over TCP with counts and over TCP with lines, each in both formats.
/// Guarantees: each transaction arrives once in each way, whole, with its header; the other lines are counted apart.
#[test]
fn rsyslogd_forwards() {
    let mut world = World::start();
    let targets = [
        format!("port=\"{}\" protocol=\"udp\"", world.udp),
        format!("port=\"{}\" protocol=\"tcp\" tcp_framing=\"octet-counted\"", world.tcp),
        format!("port=\"{}\" protocol=\"tcp\" tcp_framing=\"traditional\"", world.tcp),
    ];
    let templates = ["RSYSLOG_SyslogProtocol23Format", "RSYSLOG_TraditionalForwardFormat", "RSYSLOG_ForwardFormat"];
    let mut ways = String::new();
    for target in &targets {
        for template in templates {
            ways += &format!("action(type=\"omfwd\" target=\"127.0.0.1\" {target} template=\"{template}\")\n");
        }
    }
    let forwarder = Forwarder::start(&ways);
    let ways = targets.len() * templates.len();
    for id in 1..=50 {
        let mut sent = transaction(id);
        if id == 25 {
            sent["padding"] = "x".repeat(50_000).into();
        }
        forwarder.send(&format!("<14>Nov 29 12:00:00 kong[123]: {sent}"));
    }
    forwarder.send("<30>Nov 29 12:00:00 systemd[1]: Started {a thing}.");
    let messages = world.wait_for(50 * ways);
    wait_until("the other line is counted", || world.rejected("not_json") >= ways as f64);
    assert_eq!(messages.len(), 50 * ways);
    let mut of_format = [0; 2];
    for mut message in messages {
        let header = message.as_object_mut().unwrap().remove("syslog").unwrap();
        let mut sent = transaction(id_of(&message).unwrap());
        sent["request"]["headers"]["authorization"] = "REDACTED".into();
        if sent["request"]["id"] == "25" {
            sent["padding"] = "x".repeat(50_000).into();
        }
        assert_eq!(message, sent);
        let expected = json!(["user", "info", "kong", "123"]);
        assert_eq!(json!(["facility", "severity", "app_name", "proc_id"].map(|name| &header[name])), expected);
        assert!(header["hostname"].as_str().is_some_and(|host| !host.is_empty()), "{header}");
        let time = header["timestamp"].as_str().unwrap();
        of_format[usize::from(time.contains('T'))] += 1;
    }
    assert_eq!(of_format, [50 * ways / 3, 100 * ways / 3]);
    assert_eq!(world.rejected("not_json"), ways as f64);
    assert_eq!(world.rejected("malformed"), 0.0);
    assert_eq!(world.service.stop(), 0);
}

/// Scenario: `logger` of util-linux over UDP, TCP with lines, TCP with counts and to the Unix socket, in both formats.
/// Guarantees: each object arrives once, with what the header says.
#[test]
fn logger_sends() {
    let mut world = World::start();
    let (udp, tcp, socket) = (world.udp.to_string(), world.tcp.to_string(), world.socket());
    let ways: [&[&str]; 8] = [
        &["--server", "127.0.0.1", "--udp", "--port", &udp, "--rfc3164"],
        &["--server", "127.0.0.1", "--udp", "--port", &udp, "--rfc5424"],
        &["--server", "127.0.0.1", "--udp", "--port", &udp, "--rfc5424=notime,nohost"],
        &["--server", "127.0.0.1", "--tcp", "--port", &tcp, "--rfc3164", "--octet-count"],
        &[
            "--server",
            "127.0.0.1",
            "--tcp",
            "--port",
            &tcp,
            "--rfc5424",
            "--octet-count",
            "--sd-id",
            "a@1",
            "--sd-param",
            "b=\"{x}\"",
        ],
        &["--server", "127.0.0.1", "--tcp", "--port", &tcp, "--rfc5424", "--msgid", "ID47"],
        &["--socket", &socket],
        &["--socket", &socket, "--rfc5424"],
    ];
    for (id, way) in (1..).zip(ways) {
        let mut command = Command::new("logger");
        command.args(way).args(["--size", "32KiB", "--tag", "kong", "--id=77", "--priority", "local3.notice"]);
        let status = command.arg(transaction(id).to_string()).status().expect("logger of the Debian package bsdutils");
        assert!(status.success(), "{way:?}");
    }
    let messages = world.wait_for(ways.len());
    assert_eq!(messages.len(), ways.len());
    for message in messages {
        let id = id_of(&message).unwrap();
        assert_eq!(message["route"], transaction(id)["route"]);
        let header = &message["syslog"];
        let expected = json!(["local3", "notice", "kong", "77"]);
        assert_eq!(json!(["facility", "severity", "app_name", "proc_id"].map(|name| &header[name])), expected, "{id}");
        assert_eq!(header.get("msg_id"), (id == 6).then(|| json!("ID47")).as_ref());
    }
    assert_eq!(world.service.stop(), 0);
    assert!(!std::path::Path::new(&socket).exists());
}

/// Scenario: loggly and syslog of another Logphase, which send as Kong's plugins do: RFC 5424 with structured data over UDP, and
/// both formats over UDP, TCP with counts, and to the Unix socket.
/// Guarantees: each transaction arrives once in each way, with the program's name.
#[test]
fn what_our_plugins_send() {
    let mut world = World::start();
    let (udp, tcp, socket) = (world.udp, world.tcp, world.socket());
    let network = |transport: &str, port: u16, format: &str| json!({"host": "127.0.0.1", "port": port, "transport": transport, "format": format});
    let ways = [
        ("loggly", json!({"host": "127.0.0.1", "port": udp, "key": "token", "tags": ["a]", "b\"{"]})),
        ("syslog", network("udp", udp, "rfc5424")),
        ("syslog", network("udp", udp, "rfc3164")),
        ("syslog", network("tcp", tcp, "rfc5424")),
        ("syslog", network("tcp", tcp, "rfc3164")),
        ("syslog", json!({"socket": socket})),
    ];
    for (number, (name, config)) in ways.iter().enumerate() {
        let home = Home::with(&configuration(&json!([{"name": name, "config": config}])));
        let mut sender = home.start();
        let ids = [10 * number as u64, 10 * number as u64 + 1];
        sender.accept(Value::from(ids.map(transaction).to_vec()).to_string());
        let messages = world.wait_for(2 * (number + 1));
        assert_eq!(sender.stop(), 0);
        let of_way: Vec<_> = messages.iter().filter(|message| ids.contains(&id_of(message).unwrap())).collect();
        assert_eq!(of_way.len(), 2, "{name} {config}");
        assert!(of_way.iter().all(|message| message["syslog"]["app_name"] == "kong"), "{name} {config}: {of_way:?}");
    }
    assert_eq!(world.rejected("malformed") + world.rejected("not_json"), 0.0);
    assert_eq!(world.service.stop(), 0);
}

/// Scenario: an nginx whose access log goes to syslog over UDP, with and without a host, and to a Unix socket, and whose
/// error log goes the same way.
/// Guarantees: each request is a message three times; the lines of the error log are counted, and the log has one of them.
#[test]
fn nginx_logs() {
    let mut world = World::start();
    let (udp, socket) = (world.udp, world.socket());
    let nginx = Nginx::start(&format!(
        "access_log syslog:server=127.0.0.1:{udp},tag=nginx posted;\n\
         access_log syslog:server=127.0.0.1:{udp},facility=local0,severity=debug,nohostname posted;\n\
         access_log syslog:server=unix:{socket},nohostname posted;\n\
         error_log syslog:server=127.0.0.1:{udp};\n\
         location /gone {{ root /nowhere; }}"
    ));
    for path in ["/a", "/b?x=%C3%A4", "/gone/{brace}"] {
        let (status, ..) = ask(nginx.port, "GET", path, "");
        assert_eq!(status, if path.starts_with("/gone") { 404 } else { 200 });
    }
    let messages = world.wait_for(9);
    wait_until("the error is counted", || world.rejected("not_json") >= 1.0);
    let count = |path: &str| {
        let line = format!("GET {path} HTTP/1.1");
        messages.iter().filter(|message| message["line"] == line.as_str()).count()
    };
    assert_eq!(["/a", "/b?x=%C3%A4", "/gone/{brace}"].map(count), [3; 3]);
    let with_host = messages.iter().filter(|message| message["syslog"].get("hostname").is_some()).count();
    assert_eq!(with_host, 3);
    assert!(messages.iter().all(|message| message["syslog"]["app_name"] == "nginx"));
    assert_eq!(world.rejected("malformed"), 0.0);
    assert_eq!(world.service.count_logged("syslog message without a JSON object"), 1);
    assert!(world.service.has_logged("No such file or directory"));
    assert_eq!(world.service.stop(), 0);
}

/// Scenario: a thousand lines of daemons, on all transports; then a transaction.
/// Guarantees: they are counted, and logged once, not one by one; the transaction arrives.
#[test]
fn lines_of_daemons_are_no_flood() {
    let mut world = World::start();
    let mut tcp = TcpStream::connect(("127.0.0.1", world.tcp)).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let local = UnixDatagram::unbound().unwrap();
    local.connect(world.socket()).unwrap();
    for number in 0..400 {
        let line = format!("<30>Nov 29 12:00:00 haproxy[1]: Server web/{number} is DOWN.");
        writeln!(tcp, "{line}").unwrap();
        local.send(line.as_bytes()).unwrap();
        if number % 2 == 0 {
            udp.send_to(line.as_bytes(), ("127.0.0.1", world.udp)).unwrap();
        }
    }
    writeln!(tcp, "<30>haproxy: {}", transaction(1)).unwrap();
    wait_until("the lines are counted", || world.rejected("not_json") >= 1000.0);
    assert_eq!(Messages::of(world.wait_for(1).iter().map(Value::to_string)).counts, [(1, 1)].into());
    let logged = world.service.count_logged("syslog message without a JSON object");
    // One in ten seconds; the machine may take longer.
    assert!((1..=10).contains(&logged), "{logged}");
    assert_eq!(world.service.stop(), 0);
}

/// Scenario: 10,000 random and mutated messages to each transport, with valid ones among them.
/// Guarantees: the service lives, its memory is bounded, and exactly the valid ones are taken.
#[test]
fn random_messages() {
    let mut world = World::start();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(("127.0.0.1", world.udp)).unwrap();
    let local = UnixDatagram::unbound().unwrap();
    local.connect(world.socket()).unwrap();
    let good = format!("<14>1 2026-11-29T12:00:00Z h kong 1 - [a b=\"c\"] {}", transaction(0));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut ids = Vec::new();
    for number in 0..10_000_u64 {
        let message = random.mutate(good.as_bytes());
        udp.send(&message).unwrap();
        local.send(&message).unwrap();
        // A connection of its own: a mutated count may swallow what follows.
        if number % 10 == 0 {
            let mut connection = TcpStream::connect(("127.0.0.1", world.tcp)).unwrap();
            for _ in 0..10 {
                let framed = random.mutate(format!("{} {good}", good.len()).as_bytes());
                if connection.write_all(&[&framed[..], b"\n"].concat()).is_err() {
                    break;
                }
            }
        }
        if number % 100 == 0 {
            let id = number + 1_000_000;
            let sent = format!("<14>kong: {}", transaction(id));
            local.send(sent.as_bytes()).unwrap();
            ids.push(id);
        }
    }
    // What was mutated may be an object, too, even with numbers that only few programs can read.
    let valid = |line: &str| id_of(&serde_json::from_str(line).ok()?).filter(|id| *id >= 1_000_000);
    let path = world.service.home.path("messages");
    let arrived = || std::fs::read_to_string(&path).unwrap_or_default().lines().filter_map(valid).collect::<Vec<_>>();
    wait_until("the valid ones have arrived", || arrived().len() >= ids.len());
    assert_eq!(arrived(), ids);
    assert!(world.rejected("malformed") > 1000.0 && world.rejected("not_json") > 1000.0);
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.service.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    let peak: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 400 << 10, "{peak} KiB");
    assert_eq!(world.service.stop(), 0);
}

/// A fixed series of random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// The text with up to eight bytes changed, cut, or doubled; sometimes only noise.
    fn mutate(&mut self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        if self.below(10) == 0 {
            text = (0..self.below(300)).map(|_| self.below(256) as u8).collect();
        }
        for _ in 0..=self.below(8) {
            let at = self.below(text.len().max(1));
            match self.below(4) {
                0 if !text.is_empty() => text[at] = self.below(256) as u8,
                1 => text.truncate(at),
                2 if !text.is_empty() => drop(text.remove(at)),
                _ => text.insert(at.min(text.len()), b"{}[]<>\" 0159\n\0"[self.below(13)]),
            }
        }
        text
    }
}
