//! A real Envoy, and an upstream for TCP behind it.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use tempfile::TempDir;

use crate::service::{free_port, wait_until};

/// Envoy's program, downloaded if it is missing.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
        let fetch = Command::new(root.join(".ci/envoy")).arg(built.join("envoy")).output().unwrap();
        assert!(fetch.status.success(), "{}", String::from_utf8_lossy(&fetch.stderr));
        String::from_utf8(fetch.stdout).unwrap().trim_end().into()
    })
}

/// A running Envoy. Dropping it kills it.
pub struct Envoy {
    child: Child,
    directory: TempDir,
}

impl Envoy {
    /// An Envoy with this configuration; waits until it listens on `ports`.
    pub fn start(configuration: &str, ports: &[u16]) -> Self {
        let directory = TempDir::new().unwrap();
        // Envoy's reader of YAML takes fractions for strings.
        let path = directory.path().join(if configuration.starts_with('{') { "envoy.json" } else { "envoy.yaml" });
        std::fs::write(&path, configuration).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(program());
        command.arg("-c").arg(path).args(["--disable-hot-restart", "--concurrency", "1", "-l", "warning"]);
        command.args(["--file-flush-interval-msec", "50"]);
        // The command line would go before the configuration.
        if !configuration.contains("\nnode:") {
            command.args(["--service-node", "node-7", "--service-cluster", "edge"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut envoy = Self { child: command.spawn().unwrap(), directory };
        wait_until("Envoy listens", || {
            if let Some(status) = envoy.child.try_wait().unwrap() {
                panic!("Envoy exited at startup: {status}\n{}", envoy.log());
            }
            ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        envoy
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What Envoy has logged about itself.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A TCP server that sends back what it gets.
pub fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut from = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut from, &mut stream);
            });
        }
    });
    port
}
