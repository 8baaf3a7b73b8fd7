//! The program under test: a test directory, its processes and their output.

mod client;
mod load;
mod messages;
mod nginx;
mod peer;
mod ports;
mod python;
pub mod rfc5424;
mod rsyslog;
mod scrape;
mod upstream;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use serde_json::{Value, json};
use tempfile::TempDir;

pub use client::{Answer, Client};
pub use load::{Load, Sent};
pub use messages::{Messages, id_of, transaction, whole_lines};
pub use nginx::{Authority, Nginx, silent};
pub use peer::{TcpPeer, UdpPeer};
pub use ports::free_port;
pub use python::python;
pub use rsyslog::{Record, Rsyslog};
pub use rustix::process::Signal;
pub use scrape::{Scrape, ask};
pub use upstream::{DELAY, Exchange, Upstream, request};

/// Limit for anything that should happen at once. Long, because the machine may be busy.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until `condition` holds; fails with `what` after [`TIMEOUT`].
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT, "waited {TIMEOUT:?} in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A declarative configuration with `plugins`, all global.
pub fn configuration(plugins: &Value) -> String {
    json!({"_format_version": "3.0", "plugins": plugins}).to_string()
}

/// The result of a process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ended {
    /// The exit code; -1 if a signal ended the process.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

/// A directory for one test, with a configuration and the environment variables of its processes.
pub struct Home {
    directory: TempDir,
    variables: Vec<(String, String)>,
    /// A command that runs the service, which follows as its arguments.
    wrapper: Vec<String>,
    program: PathBuf,
    /// The port of the HTTP input.
    pub http: u16,
}

impl Home {
    /// An empty directory, with an HTTP input on a free port and a long deadline for snippets, for busy machines.
    pub fn new() -> Self {
        let http = free_port();
        let program = env!("CARGO_BIN_EXE_logphase").into();
        let home =
            Self { directory: TempDir::new().unwrap(), variables: Vec::new(), wrapper: Vec::new(), program, http };
        home.set("LOGPHASE_HTTP_LISTEN", format!("127.0.0.1:{http}"))
            .set("LOGPHASE_STATUS_LISTEN", "")
            .set("LOGPHASE_ADMIN_LISTEN", "")
            .set("LOGPHASE_LUA_DEADLINE_MS", "2000")
            .set("LOGPHASE_LUA_PLUGIN_DEADLINE_MS", "10000")
    }

    /// A directory with this `kong.yml`.
    pub fn with(kong_yml: &str) -> Self {
        let home = Self::new();
        home.write("kong.yml", kong_yml);
        home
    }

    /// Sets a variable; the last value of a name wins.
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Sets a variable of later processes.
    pub fn change(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// The value of a variable that was set.
    pub fn variable(&self, name: &str) -> &str {
        let found = self.variables.iter().rfind(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).expect("it was set")
    }

    /// Runs later processes through a command, which gets the program and its arguments as its last ones; through none if
    /// it is empty.
    pub fn run_through(&mut self, command: &[&str]) {
        self.wrapper = command.iter().map(|&word| word.to_owned()).collect();
    }

    /// Runs this build of the program.
    pub fn use_program(&mut self, program: impl Into<PathBuf>) {
        self.program = program.into();
    }

    /// Uses a copy of the program in this directory, for users who cannot reach the build's folder.
    pub fn use_copy_of_program(&mut self) {
        let copy = self.path("logphase");
        std::fs::copy(&self.program, &copy).unwrap();
        self.program = copy;
    }

    /// Puts the service's data on a separate file system of this size, which only the service sees and which ends with
    /// it. Needs only the right to create user namespaces.
    pub fn with_data_of(mut self, size: &str) -> Self {
        std::fs::create_dir_all(self.path("data")).unwrap();
        let script = format!("mount -t tmpfs -o size={size} none data && exec \"$@\"");
        let wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"];
        self.wrapper = wrapper.map(str::to_owned).into();
        self
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same path as text, for a configuration.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a temporary directory has a plain name").to_owned()
    }

    /// Writes a file atomically, as an editor does: no reader sees half of it.
    pub fn write(&self, name: &str, text: &str) {
        let new = self.path(&format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    fn command(&self, arguments: &[&str], directory: &Path) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => Command::new(&self.program),
            Some((wrapper, first)) => {
                let mut command = Command::new(wrapper);
                command.args(first).arg(&self.program);
                command
            }
        };
        command.args(arguments).current_dir(directory).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.directory.path());
        command.env("LOGPHASE_DATA_DIR", self.path("data")).env("RUNTIME_DIRECTORY", self.path("run"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end, with `input` on its standard input.
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Ended {
        self.run_in(self.directory.path(), arguments, input)
    }

    /// Runs a command in the folder of the project, without the variables of this home.
    pub fn run_in_project(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments, Path::new(env!("CARGO_MANIFEST_DIR")));
        command
            .env_remove("LOGPHASE_HTTP_LISTEN")
            .env_remove("LOGPHASE_STATUS_LISTEN")
            .env_remove("LOGPHASE_ADMIN_LISTEN");
        ended(&command.output().unwrap())
    }

    /// The same with more variables, which override others.
    pub fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments, self.directory.path());
        ended(&command.envs(variables.iter().copied()).output().unwrap())
    }

    /// The same in another directory.
    pub fn run_in(&self, directory: &Path, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = self.command(arguments, directory).stdin(Stdio::piped()).spawn().unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
        // A command may stop before it has read all input; its output decides.
        let writer = thread::spawn(move || stdin.write_all(&input).is_ok());
        let stdout = read_all(child.stdout.take().unwrap());
        let stderr = read_all(child.stderr.take().unwrap());
        // The attacks on the sandbox are over 200 processes.
        let status = wait_for_end(&mut child, 10 * TIMEOUT);
        let _ = writer.join();
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let Some(status) = status else { panic!("logphase {arguments:?} did not end\n{stdout}\n{stderr}") };
        Ended { status, stdout, stderr }
    }

    /// The output of `logphase queue list`.
    pub fn queues(&self) -> Vec<Value> {
        self.queue_command(&["list", "--json"])
    }

    /// The messages of a queue, from `logphase queue show`.
    pub fn messages_in(&self, queue: &str) -> Vec<Value> {
        self.queue_command(&["show", queue, "--json", "--limit", "1000000"])
    }

    fn queue_command(&self, arguments: &[&str]) -> Vec<Value> {
        let ended = self.run(&[&["queue"], arguments].concat(), b"");
        assert_eq!(ended.code(), 0, "{arguments:?}: {}", ended.stderr);
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Starts `logphase run kong.yml` and waits until it is ready.
    pub fn start(self) -> Service {
        self.start_with(&["run", "kong.yml"])
    }

    /// Starts the service with these arguments and waits until it is ready.
    pub fn start_with(self, arguments: &[&str]) -> Service {
        let (child, log, readers) = self.launch(arguments);
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut service = Service { home: self, arguments, child, log, readers, ended: None };
        service.await_readiness();
        service
    }

    fn launch(&self, arguments: &[&str]) -> (Child, Log, Vec<thread::JoinHandle<()>>) {
        let mut child = self.command(arguments, self.directory.path()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let readers = [
            collect("out", child.stdout.take().unwrap(), log.clone()),
            collect("err", child.stderr.take().unwrap(), log.clone()),
        ];
        (child, log, readers.into())
    }
}

fn ended(output: &std::process::Output) -> Ended {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn read_all(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

type Log = Arc<Mutex<Vec<String>>>;

fn collect(name: &'static str, from: impl Read + Send + 'static, log: Log) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            log.lock().push(format!("{name}: {}", String::from_utf8_lossy(&line)));
        }
    })
}

fn wait_for_end(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if start.elapsed() > timeout {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A running service. Dropping it kills it; if the test fails, its log is printed.
pub struct Service {
    /// The service's directory.
    pub home: Home,
    /// Of the command that started it.
    arguments: Vec<String>,
    child: Child,
    log: Log,
    readers: Vec<thread::JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

impl Service {
    /// Waits until the service is ready.
    pub fn await_readiness(&mut self) {
        wait_until("the service is ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the service exited at startup: {status}\n{}", self.log());
            }
            self.has_logged("ready")
        });
    }

    /// Starts the same command again in the same directory, after it has ended, and waits until it is ready.
    /// Forgets the earlier log.
    pub fn start_again(&mut self) {
        self.launch_again();
        self.await_readiness();
    }

    /// The same without waiting until it is ready: it may be killed before.
    pub fn launch_again(&mut self) {
        assert!(self.ended.is_some(), "it has ended");
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        (self.child, self.log, self.readers) = self.home.launch(&arguments);
        self.ended = None;
    }

    /// Arms a failpoint (`crates/queue/src/failpoint.rs`) for the next process, or none.
    pub fn arm(&mut self, failpoint: &str) {
        self.home.change(logphase_queue::failpoint::VARIABLE, failpoint);
    }

    /// Kills the service by SIGKILL.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Waits until the service has ended; returns whether SIGKILL ended it.
    pub fn wait_for_kill(&mut self) -> bool {
        self.wait();
        self.ended.and_then(|status| status.signal()) == Some(Signal::KILL.as_raw())
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A connection to the service's HTTP input.
    pub fn client(&self) -> Client {
        Client::connect(self.home.http).unwrap()
    }

    /// Posts a JSON body on a new connection.
    pub fn post(&self, body: impl AsRef<[u8]>) -> Answer {
        self.client().post(body.as_ref()).unwrap()
    }

    /// Posts a body that must be accepted.
    #[track_caller]
    pub fn accept(&self, body: impl AsRef<[u8]>) {
        let answer = self.post(body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The service's output so far, standard output and standard error.
    pub fn log(&self) -> String {
        self.log.lock().join("\n")
    }

    /// Whether the output contains this text.
    pub fn has_logged(&self, text: &str) -> bool {
        self.log.lock().iter().any(|line| line.contains(text))
    }

    /// Number of output lines that contain this text.
    pub fn count_logged(&self, text: &str) -> usize {
        self.log.lock().iter().filter(|line| line.contains(text)).count()
    }

    /// Sends a signal to the service.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.expect("a process has an id"), signal).unwrap();
    }

    /// Whether the service is running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until the service has ended and returns its exit code.
    pub fn wait(&mut self) -> i32 {
        let Some(status) = wait_for_end(&mut self.child, 2 * TIMEOUT) else { panic!("the service did not end") };
        self.ended = Some(status);
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status.code().unwrap_or(-1)
    }

    /// Stops the service by SIGTERM and returns its exit code.
    pub fn stop(&mut self) -> i32 {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("--- what the service said ---\n{}\n---", self.log());
        }
    }
}
