//! A server of PostgreSQL for one test: its own data, its own port. The unit tests of stores use this file, too.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Limit for anything that should happen at once. Long, because the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The user of the database, and its password.
pub const USER: &str = "logphase";
pub const PASSWORD: &str = "pa55word";

/// A running server. Dropping it ends it.
pub struct Postgres {
    folder: TempDir,
    child: Option<Child>,
    /// The port on 127.0.0.1.
    pub port: u16,
}

impl Postgres {
    /// Starts a server on `port` with an empty database `logphase`, which takes nobody without the password.
    pub fn start(port: u16) -> Self {
        let folder = TempDir::new().unwrap();
        let server = Self { folder, child: None, port };
        // A server refuses to be root: it belongs to the user of Debian's package then.
        std::fs::set_permissions(server.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(server.path("run")).unwrap();
        std::fs::write(server.path("password"), PASSWORD).unwrap();
        server.give(server.folder.path());
        let made = server
            .command("initdb")
            .args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "-U", USER, "--pwfile"])
            .arg(server.path("password"))
            .arg("-D")
            .arg(server.path("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = server;
        server.start_again();
        server.query("postgres", "CREATE DATABASE logphase").unwrap();
        server
    }

    /// A path in the folder of the server.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only the server can read.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        self.give(&self.path(name));
    }

    /// Adds lines to `postgresql.conf`, for the next start.
    pub fn configure(&self, lines: &str) {
        let file = self.path("data/postgresql.conf");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}\n{lines}\n")).unwrap();
    }

    /// Starts the server after it was stopped, and waits until it answers.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it was stopped");
        let log = std::fs::File::options().append(true).create(true).open(self.path("log")).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.path("data")).args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-k"]);
        command.arg(self.path("run")).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let start = Instant::now();
        while let Err(error) = self.query("postgres", "SELECT 1") {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && start.elapsed() < TIMEOUT, "{error}\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server, which ends its connections.
    pub fn stop(&mut self) {
        self.end(rustix::process::Signal::INT);
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The URL of the database `logphase`.
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/logphase", self.port)
    }

    /// Runs SQL in the database `logphase`. Returns the rows, columns separated by `|`.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.query("logphase", sql).unwrap()
    }

    /// Gives a file or a folder to the user that the server runs as.
    fn give(&self, path: &Path) {
        if rustix::process::geteuid().is_root() {
            let mut owner = Command::new("chown");
            assert!(owner.args(["-R", "postgres:postgres"]).arg(path).status().unwrap().success());
        }
    }

    fn query(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new(program("psql"));
        command.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "5").stdin(Stdio::null());
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, "-d", database]);
        let done = command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stderr)) }
    }

    /// A program of the server, as the user that it runs as. It ends with this process.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        if rustix::process::geteuid().is_root() {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        }
        command.args(["--pdeathsig", "KILL"]).arg(program(name)).current_dir(self.folder.path());
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn end(&mut self, signal: rustix::process::Signal) {
        let Some(mut child) = self.child.take() else { return };
        let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process has an id");
        let _ = rustix::process::kill_process(id, signal);
        child.wait().unwrap();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Without a last checkpoint.
        self.end(rustix::process::Signal::QUIT);
        if thread::panicking() {
            let mut text = String::new();
            let _ = std::fs::File::open(self.path("log")).and_then(|mut log| log.read_to_string(&mut text));
            eprintln!("--- what PostgreSQL said ---\n{text}\n---");
        }
    }
}

/// A program of PostgreSQL; Debian keeps those of the server in a folder of the version.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new(name).to_owned())
}
