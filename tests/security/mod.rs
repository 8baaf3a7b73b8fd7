//! Who may write to an input: TLS and certificates of clients, tokens, the PROXY protocol, with the clients that people use.

mod haproxy;
mod hostile;
mod slow;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::service::{
    Authority, Ended, Home, Messages, Scrape, Service, ask, configuration, free_port, transaction, wait_until,
    whole_lines,
};

/// A token of the tests.
pub const TOKEN: &str = "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15";

/// A directory with a configuration and certificates: `server`, `client` and `stranger`, each with `.pem` and `.key`; `ca.pem`
/// has signed all but the last.
pub fn home(authority: &Authority) -> Home {
    let home = Home::new();
    let config = json!({"path": home.text("messages.log")});
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": config}])));
    home.write("ca.pem", &authority.pem());
    issue(&home, authority, "server", "localhost");
    issue(&home, authority, "client", "edge.example.com");
    issue(&home, &Authority::new(), "stranger", "edge.example.com");
    home
}

/// Writes `NAME.pem` and `NAME.key`, the key first, readable by its owner alone.
pub fn issue(home: &Home, authority: &Authority, name: &str, host: &str) {
    let (certificate, key) = authority.issue(host);
    home.write(&format!("{name}.key"), &key);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(home.path(&format!("{name}.key")), private).unwrap();
    home.write(&format!("{name}.pem"), &certificate);
}

/// Turns TLS on for an input: `HTTP`, `TCP`, `ALS`. Mutual, if the client must have a certificate.
pub fn with_tls(home: Home, input: &str, mutual: bool) -> Home {
    let (certificate, key, ca) = (home.text("server.pem"), home.text("server.key"), home.text("ca.pem"));
    let home = home
        .set(&format!("LOGPHASE_{input}_TLS_CERTIFICATE"), certificate)
        .set(&format!("LOGPHASE_{input}_TLS_PRIVATE_KEY"), key);
    if mutual { home.set(&format!("LOGPHASE_{input}_TLS_CLIENT_CA"), ca) } else { home }
}

/// Runs curl with these arguments against the HTTP input, and returns the status (0 without an answer) and the output.
fn curl(service: &Service, id: u64, arguments: &[&str]) -> (u16, String) {
    let scheme = if arguments.contains(&"--cacert") { "https" } else { "http" };
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "--max-time", "30", "--resolve"]);
    command.arg(format!("localhost:{}:127.0.0.1", service.home.http));
    command.args(arguments).args(["-H", "content-type: application/json", "-d", &transaction(id).to_string()]);
    let output = command.arg(format!("{scheme}://localhost:{}/", service.home.http)).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let status = text.split(' ').nth(1).filter(|_| text.starts_with("HTTP/"));
    (status.and_then(|status| status.parse().ok()).unwrap_or(0), text)
}

fn wait_for(service: &Service, ids: &[u64]) {
    let ids = ids.iter().copied().collect();
    let path = service.home.path("messages.log");
    wait_until("the messages have arrived", || Messages::read(&path).missing(&ids).is_empty());
}

/// Scenario: curl over HTTP/1.1 and HTTP/2 with the certificate of a client, without one, with that of a stranger, without TLS.
/// Then the authority of clients is replaced, and with it the certificates of the server and the client.
/// Guarantees: only a client of the current authority gets an answer, without a restart or a signal; what fails is counted and
/// logged with the reason; the process is confined and still reads the new files.
#[test]
fn curl_with_certificates() {
    let authority = Authority::new();
    let status = free_port();
    let home = with_tls(home(&authority), "HTTP", true).set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let mut service = home.start();
    assert!(service.has_logged("listening: https://127.0.0.1:"));
    let paths: Vec<String> = ["ca.pem", "client.pem", "client.key", "stranger.pem", "stranger.key"]
        .map(|name| service.home.text(name))
        .into();
    let [ca, client, client_key, stranger, stranger_key] = [0, 1, 2, 3, 4].map(|at| paths[at].as_str());
    let good = ["--cacert", ca, "--cert", client, "--key", client_key];
    let http1 = curl(&service, 1, &[&good[..], &["--http1.1"]].concat());
    assert!(http1.1.starts_with("HTTP/1.1 200"), "{}", http1.1);
    let http2 = curl(&service, 2, &[&good[..], &["--http2"]].concat());
    assert!(http2.1.starts_with("HTTP/2 200"), "{}", http2.1);
    assert_eq!(curl(&service, 90, &["--cacert", ca]).0, 0);
    assert_eq!(curl(&service, 91, &["--cacert", ca, "--cert", stranger, "--key", stranger_key]).0, 0);
    assert_eq!(curl(&service, 92, &[]).0, 0);
    let handshakes = |result: &str| {
        let labels = [("input", "http"), ("result", result)];
        Scrape::of(status).sum("logphase_input_tls_handshakes_total", &labels)
    };
    wait_until("the handshakes are counted", || handshakes("client_certificate") == 2.0 && handshakes("failed") == 1.0);
    assert_eq!(handshakes("completed"), 2.0);
    for reason in ["the client has no certificate", "the certificate of the client is refused"] {
        wait_until("the reason is logged", || service.has_logged(reason));
    }
    // A new authority; the old client has its old certificate.
    let old = (service.home.text("old.pem"), service.home.text("old.key"));
    std::fs::copy(client, &old.0).unwrap();
    std::fs::copy(client_key, &old.1).unwrap();
    let authority = Authority::new();
    service.home.write("ca.pem", &authority.pem());
    issue(&service.home, &authority, "server", "localhost");
    issue(&service.home, &authority, "client", "edge.example.com");
    wait_until("the new files are read", || curl(&service, 3, &good).0 == 200);
    assert_eq!(curl(&service, 93, &["--cacert", ca, "--cert", &old.0, "--key", &old.1]).0, 0);
    wait_for(&service, &[1, 2, 3]);
    let messages = Messages::read(&service.home.path("messages.log"));
    assert!((90..94).all(|id| !messages.counts.contains_key(&id)), "a stranger was heard: {:?}", messages.counts);
    assert_eq!(service.stop(), 0);
}

/// Sends a line with `openssl s_client` until it arrives; returns what the client said if it ends before.
fn openssl(service: &Service, port: u16, id: u64, arguments: &[&str]) -> Result<(), String> {
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost", "-connect", &address]);
    command.args(["-CAfile", &service.home.text("ca.pem")]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // It may have ended.
    let _ = writeln!(input, "{}", transaction(id));
    let path = service.home.path("messages.log");
    let mut arrived = false;
    wait_until("the line arrives, or the client ends", || {
        arrived = Messages::read(&path).counts.contains_key(&id);
        arrived || child.try_wait().unwrap().is_some()
    });
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    if arrived { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Scenario: `openssl s_client` to the TCP input with TLS 1.2 and 1.3, with a certificate whose name is allowed, with one whose
/// name is not, and with a version that is too low.
/// Guarantees: only the first is heard; the log has the reason.
#[test]
fn openssl_over_tcp() {
    let authority = Authority::new();
    let tcp = free_port();
    let home = with_tls(home(&authority), "TCP", true)
        .set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{tcp}"))
        .set("LOGPHASE_TCP_TLS_CLIENT_NAMES", "*.example.com,spiffe://example.com/*");
    issue(&home, &authority, "other", "edge.example.org");
    let mut service = home.start();
    let (certificate, key) = (service.home.text("client.pem"), service.home.text("client.key"));
    let client = ["-cert", &certificate, "-key", &key];
    openssl(&service, tcp, 1, &[&client[..], &["-tls1_2"]].concat()).unwrap();
    openssl(&service, tcp, 2, &[&client[..], &["-tls1_3"]].concat()).unwrap();
    let (certificate, key) = (service.home.text("other.pem"), service.home.text("other.key"));
    openssl(&service, tcp, 90, &["-cert", &certificate, "-key", &key]).unwrap_err();
    wait_until("the reason is logged", || service.has_logged("the certificate has none of the names in client_names"));
    openssl(&service, tcp, 91, &[&client[..], &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]].concat()).unwrap_err();
    assert_eq!(service.stop(), 0);
}

/// Scenario: requests with a token of the settings, with one of the file, with a wrong one, with none; then the file is
/// replaced.
/// Guarantees: 200 or 401 with `WWW-Authenticate`; a replaced token is refused within seconds, the new one accepted; refusals
/// are counted; no token is in the log, in `check`, in `/status` or in `/metrics`.
#[test]
fn tokens() {
    let (authority, status) = (Authority::new(), free_port());
    let home = with_tls(home(&authority), "HTTP", false);
    let (first, second) = ("token-of-the-file-1", "token-of-the-file-2");
    home.write("tokens", &format!("{first}\n"));
    let path = home.text("tokens");
    let home = home
        .set("LOGPHASE_HTTP_AUTH_TOKENS", TOKEN)
        .set("LOGPHASE_HTTP_AUTH_TOKEN_FILE", path)
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let checked = home.run(&["check", "kong.yml"], b"");
    assert_eq!(checked.code(), 0, "{}", checked.stdout);
    let mut service = home.start();
    let ca = service.home.text("ca.pem");
    let send = |service: &Service, id, token: Option<&str>| {
        let header = token.map(|token| format!("Authorization: Bearer {token}"));
        let header: Vec<&str> = header.iter().flat_map(|header| ["-H", header.as_str()]).collect();
        curl(service, id, &[&["--cacert", &ca], &header[..]].concat())
    };
    assert_eq!(send(&service, 1, Some(TOKEN)).0, 200);
    assert_eq!(send(&service, 2, Some(first)).0, 200);
    for (token, code) in
        [(None, "unauthorized"), (Some("0123456789abcdef"), "invalid_token"), (Some(second), "invalid_token")]
    {
        let (status, text) = send(&service, 90, token);
        assert_eq!(status, 401, "{text}");
        assert!(text.to_lowercase().contains("www-authenticate: bearer") && text.contains(code), "{text}");
    }
    service.home.write("tokens", &format!("{second}\n"));
    wait_until("the new token is accepted", || send(&service, 3, Some(second)).0 == 200);
    assert_eq!(send(&service, 91, Some(first)).0, 401);
    let labels = [("input", "http"), ("reason", "unauthorized")];
    assert!(Scrape::of(status).sum("logphase_transactions_rejected_total", &labels) >= 4.0);
    let shown = ["/status", "/metrics"].map(|path| ask(status, "GET", path, "").2).concat();
    for secret in [TOKEN, first, second] {
        assert!(
            ![&shown, &service.log(), &checked.stdout].iter().any(|text| text.contains(secret)),
            "{secret} is shown"
        );
    }
    wait_for(&service, &[1, 2, 3]);
    assert_eq!(service.stop(), 0);
}

/// Scenario: a certificate of a client is optional, and there is a token: requests with either, and with neither.
/// Guarantees: either is enough.
#[test]
fn token_or_certificate() {
    let authority = Authority::new();
    let home = with_tls(home(&authority), "HTTP", true)
        .set("LOGPHASE_HTTP_TLS_CLIENT_AUTH", "optional")
        .set("LOGPHASE_HTTP_AUTH_TOKENS", TOKEN);
    let mut service = home.start();
    let [ca, certificate, key] = ["ca.pem", "client.pem", "client.key"].map(|name| service.home.text(name));
    let header = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(curl(&service, 1, &["--cacert", &ca, "--cert", &certificate, "--key", &key]).0, 200);
    assert_eq!(curl(&service, 2, &["--cacert", &ca, "-H", &header]).0, 200);
    assert_eq!(curl(&service, 3, &["--cacert", &ca]).0, 401);
    assert_eq!(service.stop(), 0);
}

/// Scenario: Logphase's own tcp-log and http-log, with TLS, a client certificate and a token, send to another Logphase.
/// Guarantees: what they send arrives, over both.
#[test]
fn from_one_logphase_to_another() {
    const CERTIFICATE: &str = "7f5f8c0e-2a31-4a57-9d55-0d7d9f6f4a11";
    let (authority, tcp) = (Authority::new(), free_port());
    let receiver = with_tls(with_tls(home(&authority), "HTTP", true), "TCP", false);
    let receiver =
        receiver.set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{tcp}")).set("LOGPHASE_HTTP_AUTH_TOKENS", TOKEN).start();
    let text = |name: &str| std::fs::read_to_string(receiver.home.path(name)).unwrap();
    let http = json!({
        "http_endpoint": format!("https://localhost:{}/", receiver.home.http),
        "headers": {"authorization": format!("Bearer {TOKEN}")},
        "ssl_verify": true,
        "client_certificate": {"id": CERTIFICATE},
    });
    let plugins = json!([
        {"name": "tcp-log", "config": {"host": "localhost", "port": tcp, "tls": true, "ssl_verify": true}},
        {"name": "http-log", "config": http},
    ]);
    let certificates = json!([{"id": CERTIFICATE, "cert": text("client.pem"), "key": text("client.key")}]);
    let kong = json!({"_format_version": "3.0", "plugins": plugins, "certificates": certificates});
    let home = Home::with(&kong.to_string()).set("SSL_CERT_FILE", receiver.home.text("ca.pem"));
    let mut sender = home.start();
    for id in 0..20 {
        sender.accept(transaction(id).to_string());
    }
    let path = receiver.home.path("messages.log");
    let twice = || {
        let counts = Messages::read(&path).counts;
        (0..20).all(|id| counts.get(&id).is_some_and(|count| *count >= 2))
    };
    wait_until("each arrives over both", twice);
    assert_eq!(sender.stop(), 0);
}

fn check(home: &Home) -> Ended {
    home.run(&["check", "kong.yml"], b"")
}

/// Scenario: every input on an address beyond this machine, unprotected; with tokens and no TLS; with mutual TLS; a key that
/// everybody can read.
/// Guarantees: `check` and the start have one warning for each input that is open, with what to do, and none for the others.
#[test]
fn what_is_open_is_said() {
    let authority = Authority::new();
    let inputs = ["HTTP", "TCP", "UDP", "ALS"];
    let open = |home: Home| {
        inputs
            .iter()
            .fold(home, |home, input| home.set(&format!("LOGPHASE_{input}_LISTEN"), format!("0.0.0.0:{}", free_port())))
    };
    let unprotected = open(home(&authority));
    let said = check(&unprotected);
    assert_eq!(said.code(), 0, "{}", said.stdout);
    for input in inputs {
        let line = format!("inputs.{} listens beyond this machine (0.0.0.0:", input.to_lowercase());
        assert_eq!(said.stdout.matches(&line).count(), 1, "{}", said.stdout);
    }
    assert_eq!(said.stdout.matches("K0404").count(), 4, "{}", said.stdout);
    let mut service = unprotected.start();
    assert_eq!(service.count_logged("listens beyond this machine"), 4);
    assert!(
        service
            .has_logged("asks senders for no token and no certificate: whoever reaches it can write to the log; set")
    );
    assert_eq!(service.stop(), 0);

    let protected =
        ["HTTP", "TCP", "ALS"].iter().fold(open(home(&authority)), |home, input| with_tls(home, input, true));
    let said = check(&protected).stdout;
    assert!(said.contains("inputs.udp listens") && said.matches("K0404").count() == 1, "{said}");

    let tokens = open(home(&authority)).set("LOGPHASE_HTTP_AUTH_TOKENS", TOKEN).set("LOGPHASE_UDP_LISTEN", "");
    let said = check(&tokens).stdout;
    assert!(said.contains("inputs.http listens beyond") && said.contains("tokens can be read on the way"), "{said}");
    assert!(check(&with_tls(tokens, "HTTP", false)).stdout.matches("K0404").count() == 2);

    let local = with_tls(home(&authority), "HTTP", true);
    assert!(!check(&local).stdout.contains("K0404"));
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(local.path("server.key"), readable).unwrap();
    let said = check(&local);
    assert!(said.code() == 0 && said.stdout.contains("every user of this machine can read"), "{}", said.stdout);
}

/// Scenario: files that do not fit, are missing or are no PEM; settings that need others; a token that is too short.
/// Guarantees: `check` and the start refuse them with the setting, the file and what to do, without the token.
#[test]
fn mistakes_are_refused() {
    let authority = Authority::new();
    let set = |pairs: &[(&str, &str)]| {
        let home = home(&authority);
        pairs.iter().fold(home, |home, (name, value)| {
            let value = if value.contains('.') { home.text(value) } else { (*value).to_owned() };
            home.set(&format!("LOGPHASE_HTTP_{name}"), value)
        })
    };
    let (certificate, key) = (("TLS_CERTIFICATE", "server.pem"), ("TLS_PRIVATE_KEY", "server.key"));
    for (settings, setting, problem) in [
        (&[certificate, ("TLS_PRIVATE_KEY", "client.key")][..], "tls.private_key", "is not that of the certificate"),
        (&[certificate, ("TLS_PRIVATE_KEY", "none.key")], "tls.private_key", "none.key: No such file"),
        (&[certificate, ("TLS_PRIVATE_KEY", "kong.yml")], "tls.private_key", "has no private key"),
        (&[("TLS_CERTIFICATE", "kong.yml"), key], "tls.certificate", "has no certificate"),
        (&[certificate, key, ("TLS_CLIENT_CA", "server.key")], "tls.client_ca", "has no certificate"),
        (&[certificate], "tls.private_key", "is missing; the certificate needs it"),
        (&[("TLS_CLIENT_CA", "ca.pem")], "tls.certificate", "is missing; client_ca needs it"),
        (&[certificate, key, ("TLS_CLIENT_NAMES", "edge")], "tls.client_ca", "is missing; client_names needs it"),
        (&[("AUTH_TOKENS", "geheim")], "auth.tokens[0]", "the token has 6 bytes; it must have at least 16"),
        (&[("AUTH_TOKEN_FILE", "none.txt")], "auth.token_file", "none.txt: No such file"),
    ] {
        let home = set(settings);
        let (checked, run) = (check(&home), home.run(&["run", "kong.yml"], b""));
        for (said, code) in [(&checked.stdout, checked.code()), (&run.stderr, run.code())] {
            let named = format!("inputs.http.{setting}");
            assert!(
                code == 78 && said.contains(&named) && said.contains(problem),
                "{code}: {said}\nexpected: {problem}"
            );
            assert!(!said.contains("geheim"), "{said}");
        }
    }
    for (name, value) in [("PROXY_PROTOCOL", "proxies"), ("TLS_CLIENT_NAMES", "a b"), ("PER_PEER_BYTE_RATE", "10")] {
        let checked = check(&home(&authority).set(&format!("LOGPHASE_HTTP_{name}"), value));
        assert!(checked.code() == 78 && checked.stdout.contains("expected"), "{}", checked.stdout);
    }
}

/// The path of a file of the home, for servers that a test starts.
fn path(service: &Service, name: &str) -> PathBuf {
    service.home.path(name)
}

/// The messages so far.
fn messages(service: &Service) -> Vec<Value> {
    let text = std::fs::read_to_string(path(service, "messages.log")).unwrap_or_default();
    whole_lines(&text)
}
