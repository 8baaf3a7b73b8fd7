//! The Admin API over TLS, with and without certificates of clients, as curl uses it.

use std::process::Command;

use serde_json::Value;

use super::send;
use crate::security;
use crate::service::{Authority, Home, Service, free_port, wait_until};

/// A service whose Admin API is encrypted.
struct Encrypted {
    service: Service,
    port: u16,
}

/// A directory with certificates and the settings of the Admin API's TLS; mutual if `client_auth` is given.
fn home(authority: &Authority, port: u16, client_auth: Option<&str>) -> Home {
    let home = security::with_tls(security::home(authority), "ADMIN", client_auth.is_some());
    home.set("LOGPHASE_ADMIN_LISTEN", format!("127.0.0.1:{port}"))
        .set("LOGPHASE_ADMIN_TLS_CLIENT_AUTH", client_auth.unwrap_or("required"))
        .set("LOGPHASE_DATABASE", "sqlite")
}

impl Encrypted {
    fn start(home: Home, port: u16) -> Self {
        Self { service: home.start_with(&["run"]), port }
    }

    /// The status of curl's request (0 without an answer), and its output.
    fn curl(&self, certificate: Option<&str>, path: &str, arguments: &[&str]) -> (u16, String) {
        let file = |name: &str| self.service.home.text(name);
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30", "-w", "\n%{http_code}", "--resolve"]);
        command.arg(format!("localhost:{}:127.0.0.1", self.port)).args(["--cacert", &file("ca.pem")]);
        if let Some(name) = certificate {
            command.args(["--cert", &file(&format!("{name}.pem")), "--key", &file(&format!("{name}.key"))]);
        }
        let output = command.args(arguments).arg(format!("https://localhost:{}{path}", self.port)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), format!("{body}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Scenario: an Admin API beyond this machine with the authority of its clients and no token; curl with a certificate of it, with none, with a
/// stranger's; without TLS. Then the authority is replaced. Guarantees: only clients of the current authority get an answer; they may do
/// everything, see secrets, and their subject is in the audit line; commands reach the service as before.
#[test]
fn clients_with_certificates() {
    let authority = Authority::new();
    let port = free_port();
    let home = home(&authority, port, Some("required")).set("LOGPHASE_ADMIN_LISTEN", format!("0.0.0.0:{port}"));
    let mut admin = Encrypted::start(home, port);
    assert!(admin.service.has_logged(&format!("admin: https://0.0.0.0:{port}")));
    let plugin = ["-d", "name=http-log", "-d", "config.http_endpoint=http://me:pa55@127.0.0.1:1/"];
    let (status, body) = admin.curl(Some("client"), "/plugins", &plugin);
    assert_eq!(status, 201, "{body}");
    assert!(body.contains("me:pa55@"), "a certificate shows secrets: {body}");
    let (_, node) = admin.curl(Some("client"), "/", &[]);
    let node: Value = serde_json::from_str(&node).unwrap();
    assert_eq!(node["configuration"]["admin_listeners"][0]["ssl"], true, "{node}");
    for stranger in [None, Some("stranger")] {
        assert_eq!(admin.curl(stranger, "/plugins", &[]).0, 0);
    }
    // What the server closes without an answer is an error to the client.
    assert!(send(port, "GET", "/plugins", "", b"").is_err());
    for reason in ["the client has no certificate", "the certificate of the client is refused"] {
        wait_until("the reason is logged", || {
            admin.service.has_logged(&format!("admin: TLS handshake failed: {reason}"))
        });
    }
    let queues = admin.service.home.run(&["queue", "list"], b"");
    assert_eq!(queues.code(), 0, "{}", queues.stderr);

    let authority = Authority::new();
    admin.service.home.write("ca.pem", &authority.pem());
    // The stranger is now the client of before.
    for file in ["pem", "key"] {
        let path = |name: &str| admin.service.home.path(&format!("{name}.{file}"));
        std::fs::rename(path("client"), path("stranger")).unwrap();
    }
    security::issue(&admin.service.home, &authority, "server", "localhost");
    security::issue(&admin.service.home, &authority, "client", "edge.example.com");
    wait_until("the new files are read", || admin.curl(Some("client"), "/plugins", &[]).0 == 200);
    assert_eq!(admin.curl(Some("stranger"), "/plugins", &[]).0, 0);
    assert_eq!(admin.service.stop(), 0);
    let log = admin.service.log();
    assert!(log.contains("127.0.0.1 (CN=edge.example.com) with its certificate"), "{log}");
    assert!(!log.contains("pa55"), "{log}");
}

/// Scenario: TLS without certificates of clients, and a token; then certificates that are optional, with a token and one for reading. Guarantees:
/// the token is needed where there is no certificate; the read-only token is read-only with a certificate too.
#[test]
fn tokens_over_tls() {
    let authority = Authority::new();
    let port = free_port();
    let with_tokens =
        |home: Home| home.set("LOGPHASE_ADMIN_TOKEN", "full").set("LOGPHASE_ADMIN_READ_ONLY_TOKEN", "reading");
    let full = ["-H", "Authorization: Bearer full"];
    let reading = ["-H", "Kong-Admin-Token: reading"];
    let write = ["-d", "username=ann"];
    let mut admin = Encrypted::start(with_tokens(home(&authority, port, None)), port);
    assert_eq!(admin.curl(None, "/consumers", &[]).0, 401);
    assert_eq!(admin.curl(None, "/consumers", &[&full[..], &write].concat()).0, 201);
    assert_eq!(admin.curl(None, "/consumers", &reading).0, 200);
    assert_eq!(admin.service.stop(), 0);

    let port = free_port();
    let admin = Encrypted::start(with_tokens(home(&authority, port, Some("optional"))), port);
    assert_eq!(admin.curl(None, "/consumers", &[]).0, 401);
    assert_eq!(admin.curl(None, "/consumers", &[&full[..], &write].concat()).0, 201);
    assert_eq!(admin.curl(Some("client"), "/consumers/ann", &["-X", "DELETE"]).0, 204);
    assert_eq!(admin.curl(Some("client"), "/consumers", &[&reading[..], &write].concat()).0, 403);
    assert_eq!(admin.curl(Some("stranger"), "/consumers", &full).0, 0);
}

/// Scenario: a key that is missing, a certificate that is no file, and a token in clear on an address that others reach, given to `check` and `run`.
/// Guarantees: both refuse what cannot be used with the same words; the token in clear is a warning.
#[test]
fn tls_that_cannot_be_used() {
    let home = Home::new();
    home.write("kong.yml", "_format_version: '3.0'\n");
    let certificate = ("LOGPHASE_ADMIN_TLS_CERTIFICATE", "nowhere.pem");
    let said = |variables: &[(&str, &str)], command: &str| {
        let ended = home.run_with(variables, &[command, "kong.yml"]);
        (ended.code(), format!("{}{}", ended.stdout, ended.stderr))
    };
    for command in ["check", "run"] {
        let (code, text) = said(&[certificate], command);
        assert!(code != 0 && text.contains("admin.tls.private_key") && text.contains("is missing"), "{text}");
        let (code, text) = said(&[certificate, ("LOGPHASE_ADMIN_TLS_PRIVATE_KEY", "nowhere.key")], command);
        assert!(code != 0 && text.contains("cannot read nowhere.pem"), "{text}");
        let (code, text) = said(&[("LOGPHASE_ADMIN_LISTEN", "0.0.0.0:1")], command);
        assert!(code != 0 && text.contains("everyone who reaches 0.0.0.0:1 could change"), "{text}");
    }
    let (code, text) = said(&[("LOGPHASE_ADMIN_LISTEN", "0.0.0.0:1"), ("LOGPHASE_ADMIN_TOKEN", "t")], "check");
    assert!(code == 0 && text.contains("(0.0.0.0:1) and does not encrypt"), "{text}");
}
