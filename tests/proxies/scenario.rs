//! What every proxy is asked, and what its messages must then say.

use std::process::Command;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::service::{Client, DELAY, Exchange, Home, Service, Upstream, free_port, request, wait_until, whole_lines};

/// How much later or earlier than the test's own clock a proxy may read the time, in milliseconds: proxies keep it for a while.
const CLOCK: u64 = 100;

/// The listeners of a proxy.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// In front of the upstream.
    pub plain: u16,
    /// In front of a port that nothing listens on.
    pub down: u16,
    /// In front of that port and the upstream.
    pub retry: u16,
    /// In front of the upstream, compressing.
    pub gzip: u16,
    /// In front of the upstream, for HTTP/2 without TLS.
    pub http2: u16,
    /// In front of the upstream, for TLS.
    pub tls: u16,
    /// The upstream.
    pub upstream: u16,
    /// The port that nothing listens on.
    pub nothing: u16,
    /// Logphase's input.
    pub input: u16,
}

impl Ports {
    /// The listeners of the proxy.
    pub fn listeners(&self) -> [u16; 6] {
        [self.plain, self.down, self.retry, self.gzip, self.http2, self.tls]
    }

    /// `text` with the ports instead of their names in upper case.
    pub fn fill(&self, text: &str) -> String {
        let Self { plain, down, retry, gzip, http2, tls, upstream, nothing, input } = *self;
        let names = [
            ("PLAIN", plain),
            ("DOWN", down),
            ("RETRY", retry),
            ("GZIP", gzip),
            ("HTTP2", http2),
            ("TLS", tls),
            ("UPSTREAM", upstream),
            ("NOTHING", nothing),
            ("INPUT", input),
        ];
        names.iter().fold(text.to_owned(), |text, (name, port)| text.replace(&format!(":{name}"), &format!(":{port}")))
    }
}

/// What the size in a proxy's log counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Head and body, byte for byte.
    Exact,
    /// Head and body, but the head is counted in a form of the proxy's own.
    Near,
    /// The body alone.
    Body,
    /// Nothing: it is not logged.
    Unknown,
}

/// What a proxy logs.
#[derive(Debug, Clone, Copy)]
pub struct Proxy {
    /// Of a request.
    pub request: Size,
    /// Of a response.
    pub response: Size,
    /// Whether the size of a response is that after compression.
    pub compressed: bool,
    /// Whether it logs the upstream's status.
    pub upstream_status: bool,
    /// Whether it logs the upstream's address, and the time that the upstream took.
    pub upstream_time: bool,
}

/// Which listener a request goes to.
#[derive(Debug, Clone, Copy)]
enum At {
    Plain,
    Down,
    Retry,
    Gzip,
}

struct Case {
    at: At,
    method: &'static str,
    path: &'static str,
    user_agent: String,
    body: String,
}

impl Case {
    /// Whether its path has characters that a URI cannot have, so that a proxy may refuse it.
    fn is_odd(&self) -> bool {
        self.path.contains(|c: char| !c.is_ascii() || "[]{}".contains(c))
    }
}

fn cases() -> Vec<Case> {
    let case = |at, method, path| Case { at, method, path, user_agent: "curl/8.5".to_owned(), body: String::new() };
    let plain = |path| case(At::Plain, "GET", path);
    let mut cases: Vec<Case> = [
        "/c/get?limit=10&x=%20y&limit=11&empty=&flag",
        "/c/missing",
        "/c/error",
        "/c/slow",
        "/c/drip",
        "/c/reset",
        "/c/encoded/caf%C3%A9/a%20b?q=%C3%A4&p=%22%5C%0A",
        "/c/long",
        "/c/odd/[1]/{2}'?a=[3]",
    ]
    .map(plain)
    .into();
    cases.extend([
        case(At::Down, "GET", "/c/down"),
        case(At::Retry, "GET", "/c/retried"),
        case(At::Gzip, "GET", "/c/gzip/long"),
    ]);
    cases.push(Case { body: "x".repeat(3000), ..case(At::Plain, "POST", "/c/posted") });
    cases.push(case(At::Plain, "DELETE", "/c/deleted"));
    cases.push(Case { user_agent: "a \"quoted\" \\ ]\tagent é{}".to_owned(), ..plain("/c/agent") });
    cases.push(Case { user_agent: "x".repeat(6000), ..plain("/c/big") });
    cases.push(plain("/c/raw/café?ü=1"));
    cases
}

/// A service whose input reads what a proxy logs, and an upstream.
pub struct World {
    pub service: Service,
    pub upstream: Upstream,
    pub ports: Ports,
}

impl World {
    /// `settings` are those of the proxy's example, with Logphase's port as `example_port`.
    pub fn start(settings: &str, example_port: u16) -> Self {
        let [plain, down, retry, gzip, http2, tls, nothing, input] = [(); 8].map(|()| free_port());
        let upstream = Upstream::start();
        let ports = Ports { plain, down, retry, gzip, http2, tls, upstream: upstream.port, nothing, input };
        let home = Home::new();
        let configuration = json!({
            "_format_version": "3.0",
            "services": [{"name": "app", "url": "http://app.internal:80", "routes": [{"name": "all", "paths": ["/c"]}]}],
            "plugins": [{"name": "file-log", "config": {"path": home.text("messages")}}],
        });
        home.write("kong.yml", &configuration.to_string());
        let from = format!(":{example_port}");
        assert!(settings.contains(&from), "no {from}");
        home.write("logphase.yml", &settings.replace(&from, &format!(":{input}")));
        let service = home.start_with(&["run", "kong.yml", "--settings", "logphase.yml"]);
        Self { service, upstream, ports }
    }

    /// Waits for the message of the request whose URI begins with this.
    #[track_caller]
    pub fn message(&self, uri: &str) -> Value {
        message(&self.service, "messages", uri)
    }

    /// Asks everything of the table, on kept connections, and over HTTP/2; checks each message, and that there are no others.
    pub fn check_all(&mut self, proxy: Proxy) {
        let mut asked = 0;
        for case in cases() {
            let port = match case.at {
                At::Plain => self.ports.plain,
                At::Down => self.ports.down,
                At::Retry => self.ports.retry,
                At::Gzip => self.ports.gzip,
            };
            let host = format!("api.example:{port}");
            let mut headers = vec![("host", host.as_str()), ("user-agent", &case.user_agent), ("connection", "close")];
            if matches!(case.at, At::Gzip) {
                headers.push(("accept-encoding", "gzip"));
            }
            if !case.body.is_empty() {
                headers.push(("content-type", "text/csv"));
            }
            let before = now();
            let exchange = request(port, case.method, case.path, &headers, &case.body);
            if exchange.head.word() == "400" {
                assert!(case.is_odd(), "{}: {:?}", case.path, exchange.head);
                continue;
            }
            asked += 1;
            let message = self.message(case.path);
            // A proxy may take the time of its log line after the client has read the whole answer.
            let window = (before, now());
            Check { proxy, case: &case, port, exchange: &exchange, window, message: &message, world: self }.all();
        }
        asked += self.check_kept_connection();
        asked += self.check_http2();
        asked += self.check_tls();
        let uris = messages(&self.service, "messages");
        let uris: Vec<_> = uris.iter().map(|message| message["request"]["uri"].as_str().unwrap_or_default()).collect();
        assert_eq!(uris.iter().filter(|uri| uri.starts_with("/c/")).count(), asked, "{uris:?}");
        assert_eq!(self.service.stop(), 0);
    }

    /// Three requests on one connection, of which the last comes after a while.
    fn check_kept_connection(&self) -> usize {
        let mut client = Client::connect(self.ports.plain).unwrap();
        for number in 0..3 {
            if number == 2 {
                // What is tested: that the idle time is not a part of the request.
                thread::sleep(DELAY * 2);
            }
            let before = now();
            let head = format!("GET /c/kept-{number} HTTP/1.1\r\nhost: api.example:{}\r\n\r\n", self.ports.plain);
            client.send(head.as_bytes()).unwrap();
            assert_eq!(client.answer().unwrap().status, 200);
            let message = self.message(&format!("/c/kept-{number}"));
            let after = now();
            assert_eq!(message["response"]["status"], 200);
            let started = message["started_at"].as_u64().unwrap();
            assert!((before - CLOCK..=after + CLOCK).contains(&started), "{before} {after} {message}");
            assert!(message["latencies"]["request"].as_u64().unwrap() <= after - before + CLOCK, "{message}");
        }
        3
    }

    fn check_http2(&self) -> usize {
        let url = format!("http://127.0.0.1:{}/c/http2?a=1", self.ports.http2);
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "--http2-prior-knowledge",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version} %{http_code} %{size_download}",
        ]);
        let output = curl.args(["-H", "user-agent: two", &url]).output().unwrap();
        let answer = "answer to /c/http2?a=1".len();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("2 200 {answer}"));
        let message = self.message("/c/http2");
        assert_eq!(message["request"]["headers"]["user-agent"], "two");
        assert_eq!(
            (&message["request"]["method"], &message["request"]["url"], &message["request"]["querystring"]),
            (&json!("GET"), &json!(url), &json!({"a": "1"}))
        );
        assert_eq!(message["response"]["status"], 200);
        1
    }

    fn check_tls(&self) -> usize {
        let url = format!("https://localhost:{}/c/tls", self.ports.tls);
        let mut curl = Command::new("curl");
        curl.args(["-s", "--insecure", "--http1.1", "--tlsv1.3", "-o", "/dev/null", "-w", "%{http_code}"]);
        let output =
            curl.args(["--resolve", &format!("localhost:{}:127.0.0.1", self.ports.tls), &url]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "200");
        let message = self.message("/c/tls");
        let tls = &message["request"]["tls"];
        assert_eq!((&message["request"]["url"], &tls["version"]), (&json!(url), &json!("TLSv1.3")), "{message}");
        let cipher = tls["cipher"].as_str().unwrap_or_default();
        assert!(
            ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"].contains(&cipher),
            "{tls}"
        );
        1
    }
}

/// A certificate for `localhost` and its key, in PEM.
pub fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// The messages of a service in a file.
pub fn messages(service: &Service, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(service.home.path(name)).unwrap_or_default();
    whole_lines(&text)
}

/// Waits for the message of the request whose URI begins with this.
#[track_caller]
pub fn message(service: &Service, name: &str, uri: &str) -> Value {
    let is_it = |message: &Value| message["request"]["uri"].as_str().is_some_and(|text| text.starts_with(uri));
    let find = || messages(service, name).into_iter().find(is_it);
    wait_until(&format!("the message of {uri} is logged"), || find().is_some());
    find().unwrap()
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// One request: what was asked, what the client and the upstream saw, and the message.
struct Check<'a> {
    proxy: Proxy,
    case: &'a Case,
    port: u16,
    exchange: &'a Exchange,
    window: (u64, u64),
    message: &'a Value,
    world: &'a World,
}

impl Check<'_> {
    fn all(&self) {
        self.request();
        self.response();
        self.upstream();
        self.times();
        let message = self.message;
        assert_eq!(message["client_ip"], "127.0.0.1", "{message}");
        assert_eq!(
            (&message["route"]["name"], &message["service"]["name"]),
            (&json!("all"), &json!("app")),
            "{message}"
        );
    }

    fn request(&self) {
        let Self { case, message, port, .. } = self;
        let request = &message["request"];
        assert_eq!((&request["method"], &request["uri"]), (&json!(case.method), &json!(case.path)), "{message}");
        assert_eq!(request["url"], format!("http://api.example:{port}{}", case.path), "{message}");
        let headers = &request["headers"];
        assert_eq!(headers["host"], format!("api.example:{port}"), "{message}");
        assert_eq!(headers["user-agent"], case.user_agent, "{message}");
        assert_eq!(
            headers.get("content-type"),
            (!case.body.is_empty()).then(|| json!("text/csv")).as_ref(),
            "{message}"
        );
        let querystring = match case.path.split_once('?') {
            Some((_, "limit=10&x=%20y&limit=11&empty=&flag")) => {
                json!({"limit": ["10", "11"], "x": " y", "empty": "", "flag": true})
            }
            Some((_, "q=%C3%A4&p=%22%5C%0A")) => json!({"q": "ä", "p": "\"\\\n"}),
            Some((_, "a=[3]")) => json!({"a": "[3]"}),
            Some((_, "ü=1")) => json!({"ü": "1"}),
            Some((_, other)) => panic!("{other}"),
            None => json!({}),
        };
        assert_eq!(request["querystring"], querystring, "{message}");
        self.size(self.proxy.request, &request["size"], self.exchange.sent, case.body.len());
    }

    fn size(&self, size: Size, logged: &Value, whole: usize, body: usize) {
        let message = self.message;
        match size {
            Size::Unknown => assert!(logged.is_null(), "{message}"),
            Size::Exact => assert_eq!(logged, whole, "{message}"),
            Size::Body => assert_eq!(logged, body, "{message}"),
            Size::Near => {
                let logged = logged.as_u64().unwrap_or_else(|| panic!("no size: {message}"));
                assert!(logged.abs_diff(whole as u64) <= 100, "{whole}: {message}");
            }
        }
    }

    fn response(&self) {
        let Self { exchange, message, .. } = self;
        let response = &message["response"];
        let status: u16 = exchange.head.word().parse().unwrap();
        let expected: &[u16] = match self.case.path {
            _ if !self.answers() => &[502, 503],
            "/c/missing" => &[404],
            "/c/error" => &[500],
            _ => &[200],
        };
        assert!(expected.contains(&status), "the proxy answers {status} for {}", self.case.path);
        assert_eq!(response["status"], status, "{message}");
        assert!(message["request"].get("tls").is_none(), "{message}");
        let kind = exchange.head.headers.get("content-type").map(|kind| json!(kind));
        // Of an answer of its own, HAProxy has no headers to log.
        if self.answers() {
            assert_eq!(response["headers"].get("content-type"), kind.as_ref(), "{message}");
        }
        if !matches!(self.case.at, At::Gzip) {
            return self.size(self.proxy.response, &response["size"], exchange.received, exchange.body);
        }
        assert_eq!(exchange.head.headers.get("content-encoding").map(String::as_str), Some("gzip"));
        if self.proxy.compressed {
            self.size(self.proxy.response, &response["size"], exchange.received, exchange.body);
        } else {
            let whole = 100 * format!("answer to {}\n", self.case.path).len();
            self.size(self.proxy.response, &response["size"], whole, whole);
        }
    }

    /// Whether the upstream answers.
    fn answers(&self) -> bool {
        !matches!(self.case.at, At::Down) && !self.case.path.contains("reset")
    }

    fn upstream(&self) {
        let Self { case, message, world, .. } = self;
        // Caddy escapes what a URI cannot have.
        let seen = world.upstream.seen(case.path.split(['?', '[', '\'', 'é']).next().unwrap_or_default());
        let expected = usize::from(!matches!(case.at, At::Down));
        // A proxy may try again after a connection that ended early.
        assert!(seen.len() == expected || case.path.contains("reset"), "{seen:?}");
        if let Some(head) = seen.first() {
            assert!(head.line.starts_with(case.method), "{head:?}");
            assert_eq!((head.body, &head.headers["user-agent"]), (case.body.len(), &case.user_agent));
        }
        if self.proxy.upstream_status {
            assert_eq!(message["source"], if self.answers() { "upstream" } else { "kong" }, "{message}");
            if self.answers() {
                assert_eq!(message["upstream_status"], self.exchange.head.word(), "{message}");
            }
        }
        if self.proxy.upstream_time && !matches!(case.at, At::Down) {
            let tries = message["tries"].as_array().unwrap_or_else(|| panic!("no tries: {message}"));
            let last = tries.last().unwrap();
            assert_eq!((&last["ip"], &last["port"]), (&json!("127.0.0.1"), &json!(world.ports.upstream)), "{message}");
        }
    }

    fn times(&self) {
        let Self { case, message, window: (before, after), .. } = self;
        let latency = |name: &str| message["latencies"][name].as_i64();
        let request = latency("request").unwrap_or_else(|| panic!("no latency: {message}"));
        let delay = i64::try_from(DELAY.as_millis()).unwrap() - 10;
        assert!((0..=i64::try_from(after - before + CLOCK).unwrap()).contains(&request), "{message}");
        let started = message["started_at"].as_u64().unwrap_or_else(|| panic!("no start: {message}"));
        assert!((before - CLOCK..=after + CLOCK).contains(&started), "{before} {after} {message}");
        let (slow, drips) = (case.path.contains("slow"), case.path.contains("drip"));
        assert!(request >= delay || !(slow || drips), "{message}");
        if self.proxy.upstream_time {
            let parts =
                ["kong", "proxy", "receive"].map(|name| latency(name).unwrap_or_else(|| panic!("{name}: {message}")));
            let [kong, proxy, receive] = parts;
            assert!(kong >= 0 && receive >= 0 && proxy >= -1, "{message}");
            assert_eq!(proxy >= 0, self.answers(), "{message}");
            // Each part is rounded for itself.
            assert!(kong + proxy + receive <= request + 5, "{message}");
            assert!(proxy >= delay || !slow, "{message}");
            assert!(receive >= delay || !drips, "{message}");
        }
    }
}
