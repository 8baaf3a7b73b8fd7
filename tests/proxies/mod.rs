//! nginx, HAProxy, Caddy and Apache of Debian: what client and upstream saw is what the message says. What their users paste, in
//! `examples/`, is what the tests run.

mod example;
mod program;
mod scenario;

use std::path::Path;

use self::program::Program;
use self::scenario::{Ports, Proxy, Size, World, certificate};

/// A file of `examples/`.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `text` with `to` instead of `from`, which must be there.
#[track_caller]
fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from:?} in\n{text}");
    text.replace(from, to)
}

/// The part of an example's configuration to paste, before `end`, with Logphase's port.
fn pasted(name: &str, end: &str, port: u16, input: u16) -> String {
    let text = example(name);
    let (part, _) = text.split_once(end).unwrap_or_else(|| panic!("no {end:?} in {name}"));
    replace(part, &port.to_string(), &input.to_string())
}

const NGINX: Proxy =
    Proxy { request: Size::Exact, response: Size::Exact, compressed: true, upstream_status: true, upstream_time: true };

fn nginx(ports: &Ports, logphase: &str) -> Program {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path DIR/{name};\n"))
        .concat();
    let server = |listen: &str, more: &str, to: &str| {
        format!(
            "server {{ listen 127.0.0.1:{listen}; {more}\n\
             location / {{ proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_pass http://{to}; }} }}\n"
        )
    };
    let servers = [
        server("PLAIN", "", "127.0.0.1:UPSTREAM"),
        server("DOWN", "", "127.0.0.1:NOTHING"),
        server("RETRY", "", "both"),
        server("GZIP", "gzip on; gzip_types text/plain;", "127.0.0.1:UPSTREAM"),
        server("HTTP2 http2", "", "127.0.0.1:UPSTREAM"),
        server(
            "TLS ssl",
            "ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_protocols TLSv1.3;",
            "127.0.0.1:UPSTREAM",
        ),
    ]
    .concat();
    let configuration = format!(
        "daemon off;\nworker_processes 1;\nuser root root;\npid DIR/pid;\nevents {{}}\nhttp {{\n{temporary}\n\
         include logphase.conf;\n\
         upstream both {{ server 127.0.0.1:NOTHING; server 127.0.0.1:UPSTREAM; }}\n{servers}}}\n"
    );
    let (certificate, key) = certificate();
    let configuration = ports.fill(&configuration);
    let files =
        [("nginx.conf", &*configuration), ("logphase.conf", logphase), ("cert.pem", &certificate), ("key.pem", &key)];
    Program::start(&["nginx", "-e", "DIR/errors", "-c", "DIR/nginx.conf"], &files, &ports.listeners())
}

/// Scenario: nginx, by syslog over UDP, with everything of the table of requests.
/// Guarantees: every message says what client and upstream saw; a retry has both upstreams, and the first one's failure.
#[test]
fn nginx_by_syslog() {
    let mut world = World::start(&example("nginx/logphase.yml"), 5140);
    let logphase = replace(&example("nginx/logphase.conf"), "5140", &world.ports.input.to_string());
    let _nginx = nginx(&world.ports, &logphase);
    let (nothing, upstream) = (world.ports.nothing, world.ports.upstream);
    world.check_all(NGINX);
    let retried = world.message("/c/retried");
    let tries = retried["tries"].as_array().unwrap();
    let seen: Vec<_> = tries.iter().map(|attempt| (attempt["port"].as_u64(), attempt["code"].as_u64())).collect();
    let port = |port: u16| Some(u64::from(port));
    assert_eq!(seen, [(port(nothing), Some(502)), (port(upstream), Some(200))]);
    assert_eq!(world.message("/c/encoded")["upstream_uri"], "/c/encoded/café/a b");
}

/// Scenario: nginx, whose access log is a file that the service follows, with everything of the table of requests.
/// Guarantees: the same.
#[test]
fn nginx_by_a_file() {
    let folder = tempfile::TempDir::new().unwrap();
    let log = folder.path().join("access.log");
    let settings = format!(
        "inputs:\n  syslog: {{tcp: ['127.0.0.1:5140']}}\n  file: {{include: ['{}'], mapping: nginx}}\n",
        log.display()
    );
    let mut world = World::start(&settings, 5140);
    let target = "syslog:server=127.0.0.1:5140,tag=nginx,nohostname";
    let logphase = replace(&example("nginx/logphase.conf"), target, &log.display().to_string());
    let _nginx = nginx(&world.ports, &logphase);
    world.check_all(NGINX);
}

const HAPROXY: Proxy =
    Proxy { request: Size::Near, response: Size::Near, compressed: false, upstream_status: true, upstream_time: true };

/// `logphase` is the part of the example before its frontends.
fn haproxy(ports: &Ports, logphase: &str) -> Program {
    let servers = "frontend plain from logphase\n bind 127.0.0.1:PLAIN\n default_backend up\n\
         frontend down from logphase\n bind 127.0.0.1:DOWN\n default_backend nothing\n\
         frontend retry from logphase\n bind 127.0.0.1:RETRY\n default_backend both\n\
         frontend gzip from logphase\n bind 127.0.0.1:GZIP\n default_backend packed\n\
         frontend two from logphase\n bind 127.0.0.1:HTTP2 proto h2\n default_backend up\n\
         frontend tls from logphase\n bind 127.0.0.1:TLS ssl crt DIR/both.pem\n default_backend up\n\
         backend up from base\n server one 127.0.0.1:UPSTREAM\n\
         backend nothing from base\n server one 127.0.0.1:NOTHING\n\
         backend both from base\n option redispatch 1\n server one 127.0.0.1:NOTHING\n server two 127.0.0.1:UPSTREAM\n\
         backend packed from base\n compression algo gzip\n compression type text/plain\n server one 127.0.0.1:UPSTREAM\n";
    let configuration = format!("{logphase}\n{}", ports.fill(servers));
    let (certificate, key) = certificate();
    let files = [("haproxy.cfg", &*configuration), ("both.pem", &format!("{certificate}{key}"))];
    Program::start(&["haproxy", "-db", "-f", "DIR/haproxy.cfg"], &files, &ports.listeners())
}

/// Scenario: HAProxy, by syslog over UDP, with everything of the table of requests.
/// Guarantees: every message says what client and upstream saw; a retry is told.
#[test]
fn haproxy_by_syslog() {
    let mut world = World::start(&example("haproxy/logphase.yml"), 5140);
    let _haproxy = haproxy(&world.ports, &pasted("haproxy/haproxy.cfg", "\nfrontend", 5140, world.ports.input));
    world.check_all(HAPROXY);
    assert_eq!(world.message("/c/retried")["haproxy"]["retries"], "+1");
    let down = world.message("/c/down");
    assert_eq!((&down["haproxy"]["tsc"], &down["haproxy"]["be"]), (&"SC--".into(), &"nothing".into()));
}

/// Scenario: HAProxy with a ring, which sends its log over TCP with counts, as docs/syslog.md has it.
/// Guarantees: the same.
#[test]
fn haproxy_by_a_ring() {
    let settings = example("haproxy/logphase.yml").replace("udp:", "tcp:");
    let mut world = World::start(&settings, 5140);
    let pasted = pasted("haproxy/haproxy.cfg", "\nfrontend", 5140, world.ports.input);
    let log = format!("log 127.0.0.1:{} len", world.ports.input);
    let page = include_str!("../../docs/syslog.md");
    let ring = page.split_once("```haproxy\n").and_then(|(_, rest)| rest.split_once("```")).expect("a ring").0;
    let ring = replace(ring, "5140", &world.ports.input.to_string());
    let (ring, global) = ring.split_once("\nglobal\n").expect("a global section");
    let line = global.trim().trim_end_matches(" len 65535 format rfc5424 local0 info");
    let configuration = format!("{ring}\n\n{}", replace(&pasted, &log, &format!("{line} len")));
    let _haproxy = haproxy(&world.ports, &configuration);
    world.check_all(HAPROXY);
}

const CADDY: Proxy = Proxy {
    request: Size::Unknown,
    response: Size::Body,
    compressed: true,
    upstream_status: false,
    upstream_time: false,
};

/// Scenario: Caddy, over TCP, with everything of the table of requests.
/// Guarantees: every message says what client and upstream saw, as far as Caddy logs it.
#[test]
fn caddy() {
    let mut world = World::start(&example("caddy/logphase.yml"), 5170);
    let logphase = pasted("caddy/Caddyfile", "\nhttp://", 5170, world.ports.input);
    let logphase = replace(&logphase, "admin off", "admin off\nauto_https off\nservers {\nprotocols h1 h2 h2c\n}");
    let site = |port: &str, proxy: &str| format!("http://:{port} {{\nimport logphase\n{proxy}\n}}\n");
    let both = "reverse_proxy 127.0.0.1:NOTHING 127.0.0.1:UPSTREAM {\nlb_policy first\nlb_try_duration 10s\nfail_duration 1m\n}";
    let sites = [
        site("PLAIN", "reverse_proxy 127.0.0.1:UPSTREAM"),
        site("DOWN", "reverse_proxy 127.0.0.1:NOTHING"),
        site("RETRY", both),
        site("GZIP", "encode gzip\nreverse_proxy 127.0.0.1:UPSTREAM"),
        site("HTTP2", "reverse_proxy 127.0.0.1:UPSTREAM"),
        site("TLS", "tls DIR/cert.pem DIR/key.pem\nreverse_proxy 127.0.0.1:UPSTREAM").replace("http:", "https:"),
    ]
    .concat();
    let configuration = format!("{logphase}\n{}", world.ports.fill(&sites));
    let command = ["caddy", "run", "--config", "DIR/Caddyfile", "--adapter", "caddyfile"];
    let (certificate, key) = certificate();
    let files = [("Caddyfile", &*configuration), ("cert.pem", &certificate), ("key.pem", &key)];
    let _caddy = Program::start(&command, &files, &world.ports.listeners());
    world.check_all(CADDY);
}

const APACHE: Proxy = Proxy {
    request: Size::Exact,
    response: Size::Exact,
    compressed: true,
    upstream_status: true,
    upstream_time: false,
};

/// Scenario: Apache, through a pipe to logger, with everything of the table of requests.
/// Guarantees: every message says what client and upstream saw, as far as Apache logs it; bytes that Apache escapes in its own
/// way are repaired.
#[test]
fn apache() {
    let mut world = World::start(&example("apache/logphase.yml"), 5140);
    let logphase = pasted("apache/httpd.conf", "\nListen", 5140, world.ports.input);
    let logphase = replace(&replace(&logphase, "/dev/stderr", "DIR/errors"), "/tmp", "DIR");
    let modules: String = ["proxy_balancer", "lbmethod_byrequests", "slotmem_shm", "filter", "deflate", "http2"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let site = |port: &str, more: &str, to: &str| {
        format!(
            "Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\nProxyPreserveHost On\n{more}\n\
             ProxyPass / {to} nocanon\n</VirtualHost>\n"
        )
    };
    let both = "<Proxy balancer://both>\nBalancerMember http://127.0.0.1:NOTHING\n\
                BalancerMember http://127.0.0.1:UPSTREAM\n</Proxy>";
    let sites = [
        site("PLAIN", "", "http://127.0.0.1:UPSTREAM/"),
        site("DOWN", "", "http://127.0.0.1:NOTHING/"),
        site("RETRY", both, "balancer://both/"),
        site("GZIP", "SetOutputFilter DEFLATE", "http://127.0.0.1:UPSTREAM/"),
        site("HTTP2", "Protocols h2c http/1.1", "http://127.0.0.1:UPSTREAM/"),
        site(
            "TLS",
            "SSLEngine on\nSSLCertificateFile DIR/cert.pem\nSSLCertificateKeyFile DIR/key.pem",
            "http://127.0.0.1:UPSTREAM/",
        ),
    ]
    .concat();
    let last = "modules/mod_unique_id.so\n";
    let logphase = replace(&logphase, last, &format!("{last}{modules}"));
    let configuration = format!("{logphase}\n{}", world.ports.fill(&sites));
    let command = ["apache2", "-DFOREGROUND", "-f", "DIR/httpd.conf"];
    let (certificate, key) = certificate();
    let files = [("httpd.conf", &*configuration), ("cert.pem", &certificate), ("key.pem", &key)];
    let _apache = Program::start(&command, &files, &world.ports.listeners());
    world.check_all(APACHE);
    let agent = world.message("/c/agent");
    assert_eq!(agent["request"]["headers"]["user-agent"], "a \"quoted\" \\ ]\tagent é{}");
}
