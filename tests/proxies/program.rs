//! A real proxy: its process, its folder and its ports.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::service::wait_until;

/// A running proxy. Dropping it stops it and what it has started.
pub struct Program {
    child: Child,
    directory: TempDir,
}

impl Program {
    /// Writes `files` (names and texts, in which `DIR` is the folder, but for certificates and keys) and starts `command`,
    /// whose arguments may have `DIR`, too. Waits until it listens on `ports`.
    pub fn start(command: &[&str], files: &[(&str, &str)], ports: &[u16]) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().to_str().expect("a temporary directory has a plain name").to_owned();
        for (name, text) in files {
            // The base64 of a PEM file can have any three letters.
            let text = if name.ends_with(".pem") { (*text).to_owned() } else { text.replace("DIR", &path) };
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let said = File::create(directory.path().join("said")).unwrap();
        let system = Path::new("/usr/sbin").join(command[0]);
        let program = if system.exists() { system } else { PathBuf::from(command[0]) };
        let mut child = Command::new(&program)
            .args(command[1..].iter().map(|argument| argument.replace("DIR", &path)))
            .current_dir(directory.path())
            .env("HOME", &path)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `make test` installs it", program.display()));
        let listens = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
        wait_until("the proxy listens", || {
            if let Some(status) = child.try_wait().unwrap() {
                let said = std::fs::read_to_string(directory.path().join("said"));
                panic!("{} ended: {status}\n{}", program.display(), said.unwrap_or_default());
            }
            ports.iter().all(listens)
        });
        Self { child, directory }
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // By SIGTERM: after SIGKILL its workers and log programs would stay.
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            for name in ["said", "errors"] {
                let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
                eprintln!("--- what the proxy said ({name}) ---\n{text}\n---");
            }
        }
    }
}
