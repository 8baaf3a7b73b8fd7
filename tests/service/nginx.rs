//! An nginx that receives from http-log and logs what it gets.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::{Messages, Signal, free_port, wait_until, whole_lines};

/// An answered request, as logged by nginx.
#[derive(Debug, Clone, Deserialize)]
pub struct Posted {
    /// Time of the answer, in seconds.
    pub time: f64,
    /// The answer's status.
    pub status: u16,
    /// The connection's number.
    pub connection: u64,
    /// The request line, including the HTTP version.
    pub line: String,
    /// Some non-empty headers and variables, under nginx's names.
    #[serde(flatten)]
    pub facts: BTreeMap<String, String>,
    /// The request's body.
    pub body: String,
}

impl Posted {
    /// The messages in the body.
    pub fn messages(&self) -> Vec<Value> {
        match serde_json::from_str(&self.body) {
            Ok(Value::Array(messages)) => messages,
            Ok(message) => vec![message],
            Err(error) => panic!("{error} in {:?}", self.body),
        }
    }
}

/// Log format for requests that nginx rejects, and for those that it forwards. Quoted for JSON; times and numbers are
/// unquoted.
const FORMAT: &str = r#"{"time":$msec,"status":$status,"connection":$connection,"line":"$request","host":"$http_host",
    "authorization":"$http_authorization","content_type":"$content_type","content_length":"$content_length",
    "user_agent":"$http_user_agent","x_key":"$http_x_key","client":"$ssl_client_s_dn","body":"$request_body"}"#;

/// An nginx with its own directory. Dropping it stops it.
pub struct Nginx {
    /// The port that it listens on.
    pub port: u16,
    directory: TempDir,
    child: Option<Child>,
}

impl Nginx {
    /// An nginx that accepts every POST and answers 200. `more` is added to its `server` block.
    pub fn start(more: &str) -> Self {
        Self::listening("", more)
    }

    /// The same with TLS and HTTP/2, with a certificate for `localhost` by `authority`; it accepts only clients with a
    /// certificate by the same authority.
    pub fn start_tls(authority: &Authority) -> Self {
        let directory = TempDir::new().unwrap();
        let (certificate, key) = authority.issue("localhost");
        for (name, text) in [("cert.pem", &certificate), ("key.pem", &key), ("ca.pem", &authority.pem())] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let more = "ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_client_certificate ca.pem; \
                    ssl_verify_client on;";
        Self::in_directory(directory, "ssl http2", more)
    }

    fn listening(how: &str, more: &str) -> Self {
        Self::in_directory(TempDir::new().unwrap(), how, more)
    }

    fn in_directory(directory: TempDir, how: &str, more: &str) -> Self {
        let port = free_port();
        let path = directory.path().to_str().expect("a plain name").to_owned();
        let more = more.replace("PATH", &path);
        let format = FORMAT.replace("\n    ", "");
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {path}/{name};\n"))
            .concat();
        // nginx reads the body of a forwarded request only. The inner server logs the request before it answers:
        // a stopping nginx answers pending requests, but does not log those on lingering connections.
        let inner = format
            .replace("$connection", "$http_x_connection")
            .replace("\"$request\"", "\"$http_x_line\"")
            .replace("$ssl_client_s_dn", "$http_x_client")
            .replace("$content_length", "$http_x_length")
            .replace("$request_body", "$http_x_body");
        let text = format!(
            "user root root;\nworker_processes 1;\npid {path}/pid;\nevents {{ worker_connections 512; }}\nhttp {{\n\
             {temporary}log_format posted escape=json '{format}';\nlog_format inner escape=json '{inner}';\n\
             access_log off;\nlarge_client_header_buffers 8 16m;\nmap $status $refused {{ ~^2 0; default 1; }}\n\
             proxy_set_header Host $http_host;\nproxy_set_header X-Connection $connection;\n\
             proxy_set_header X-Line $request;\nproxy_set_header X-Client $ssl_client_s_dn;\n\
             proxy_set_header X-Body $request_body;\n\
             proxy_pass_request_body off;\nproxy_set_header Content-Length '';\n\
             proxy_set_header X-Length $content_length;\n\
             map $status $pause {{ 429 2; default ''; }}\n\
             client_body_buffer_size 16m;\nclient_max_body_size 16m;\nclient_body_in_single_buffer on;\n\
             server {{ listen unix:{path}/inner; access_log {path}/posted inner; lingering_close off; return 200 'taken'; }}\n\
             server {{\nlisten 127.0.0.1:{port} {how};\naccess_log {path}/posted posted if=$refused;\n\
             {more}\nlocation / {{ proxy_pass http://unix:{path}/inner; }}\n}}\n}}\n"
        );
        std::fs::write(directory.path().join("nginx.conf"), text).unwrap();
        let mut nginx = Self { port, directory, child: None };
        nginx.restart();
        nginx
    }

    /// A path in nginx's directory, for files that its configuration tests.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts nginx again.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it is there");
        let program = Path::new("/usr/sbin/nginx");
        let mut command = Command::new(if program.exists() { program } else { Path::new("nginx") });
        command.arg("-p").arg(self.directory.path()).arg("-c").arg(self.path("nginx.conf"));
        command.arg("-e").arg(self.path("errors")).args(["-g", "daemon off;"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("nginx runs; `make test` installs it"));
        wait_until("nginx listens", || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("nginx exited at startup: {status}\n{}", self.errors());
            }
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// Stops nginx at once and breaks its connections.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.expect("a process has an id"), Signal::TERM).unwrap();
        child.wait().unwrap();
    }

    /// The error log.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.path("errors")).unwrap_or_default()
    }

    /// Every request that nginx has answered.
    pub fn posted(&self) -> Vec<Posted> {
        let text = std::fs::read_to_string(self.path("posted")).unwrap_or_default();
        whole_lines(&text)
    }

    /// The requests that nginx has accepted.
    pub fn taken(&self) -> Vec<Posted> {
        self.posted().into_iter().filter(|request| request.status < 300).collect()
    }

    /// The messages that nginx has accepted.
    pub fn messages(&self) -> Messages {
        Messages::of(self.taken().iter().flat_map(Posted::messages).map(|message| message.to_string()))
    }

    /// Waits until nginx has accepted this many requests.
    #[track_caller]
    pub fn wait_for(&self, requests: usize) {
        wait_until(&format!("nginx has accepted {requests} requests"), || self.taken().len() >= requests);
    }

    /// Waits until nginx has answered this many requests with `status`.
    #[track_caller]
    pub fn wait_for_status(&self, status: u16, requests: usize) {
        let count = || self.posted().iter().filter(|request| request.status == status).count();
        wait_until(&format!("nginx has answered {requests} requests with {status}"), || count() >= requests);
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- what nginx said ---\n{}\n---", self.errors());
        }
    }
}

/// A port that accepts connections and never answers.
pub fn silent() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).unwrap()
}

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// The authority's certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for `name`, and its key.
    pub fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}
