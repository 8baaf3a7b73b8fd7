//! Files as an input: the real logrotate, restarts and SIGKILL, new files, full queues, the example.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::service::{
    Home, Messages, Scrape, Service, TIMEOUT, TcpPeer, ask, configuration, free_port, transaction, wait_until,
};

/// Lines between two rotations.
const BETWEEN: u64 = 150;

/// The pause after each line, which bounds the lines of a test on a slow machine.
const PAUSE: Duration = Duration::from_millis(2);

/// Rotations.
const ROTATIONS: u64 = 5;

fn append(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

/// A program that writes an access log, line by line.
struct Program {
    path: PathBuf,
    file: Arc<Mutex<File>>,
    written: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Program {
    fn start(path: PathBuf) -> Self {
        let file = Arc::new(Mutex::new(append(&path)));
        let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (file, written, stop) = (file.clone(), written.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let line = format!("{}\n", transaction(written.load(Ordering::SeqCst)));
                    let mut file = file.lock();
                    // Two writes, so that half a line can be seen.
                    let (first, rest) = line.split_at(line.len() / 3);
                    file.write_all(first.as_bytes()).unwrap();
                    file.write_all(rest.as_bytes()).unwrap();
                    drop(file);
                    written.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(PAUSE);
                }
            })
        };
        Self { path, file, written, stop, thread: Some(thread) }
    }

    fn await_more(&self, lines: u64) {
        let goal = self.written.load(Ordering::SeqCst) + lines;
        wait_until("more lines are written", || self.written.load(Ordering::SeqCst) >= goal);
    }

    /// Opens its log again, as a program does when it is told that the file was renamed.
    fn reopen(&self) {
        *self.file.lock() = append(&self.path);
    }

    /// Waits until a line that is written from now on is read. What nobody has seen before the next rotation cannot be found
    /// under another name.
    fn await_reading(&self, service: &Service) {
        let next = self.written.load(Ordering::SeqCst) + 1;
        wait_until("the file is read", || messages(service).counts.range(next..).next().is_some());
    }

    fn finish(mut self) -> BTreeSet<u64> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        (0..self.written.load(Ordering::SeqCst)).collect()
    }
}

/// A service that follows `logs/*.log` and writes the messages to a file.
fn home() -> Home {
    let home = Home::new();
    fs::create_dir(home.path("logs")).unwrap();
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": {"path": home.text("messages")}}])));
    let include = home.text("logs/*.log");
    home.set("LOGPHASE_FILE_INCLUDE", include).set("LOGPHASE_QUEUE_DURABILITY", "disk")
}

fn messages(service: &Service) -> Messages {
    Messages::read(&service.home.path("messages"))
}

/// Ends the program, waits for all that it has written, and stops the service.
fn await_end(program: Program, service: &mut Service) -> BTreeSet<u64> {
    let written = program.finish();
    await_all(service, &written);
    assert_eq!(service.stop(), 0);
    written
}

fn await_all(service: &Service, written: &BTreeSet<u64>) {
    // A slow machine takes long for all of them.
    let begun = Instant::now();
    loop {
        let missing = messages(service).missing(written);
        if missing.is_empty() {
            return;
        }
        let first = &missing[..missing.len().min(20)];
        assert!(begun.elapsed() < 4 * TIMEOUT, "{} of {} are missing: {first:?}", missing.len(), written.len());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs logrotate once on the access log.
fn rotate(service: &Service, how: &str) {
    let home = &service.home;
    home.write("logrotate.conf", &format!("{} {{\n  rotate 100\n  {how}\n}}\n", home.text("logs/access.log")));
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let run = Command::new("logrotate")
        .args(["--force", "--state", &home.text("logrotate.state")])
        .arg(home.path("logrotate.conf"))
        .env("PATH", path)
        .output()
        .expect("logrotate is not installed: `apt-get install logrotate`");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// Scenario: logrotate renames the access log five times under load and creates a new one; the program that writes it goes on
/// with the old one for a while.
/// Guarantees: each line becomes a message, once.
#[test]
fn logrotate_create() {
    let mut service = home().start();
    let program = Program::start(service.home.path("logs/access.log"));
    for _ in 0..ROTATIONS {
        program.await_more(BETWEEN);
        program.await_reading(&service);
        rotate(&service, "create 0644");
        program.await_more(BETWEEN / 10);
        program.reopen();
    }
    program.await_more(BETWEEN);
    let written = await_end(program, &mut service);
    messages(&service).assert_once(&written);
}

/// Scenario: logrotate copies the access log and truncates it, five times; nobody writes meanwhile, because logrotate would
/// lose such lines.
/// Guarantees: each line becomes a message, once, also those that were not read when the file was truncated.
#[test]
fn logrotate_copytruncate() {
    let mut service = home().start();
    let program = Program::start(service.home.path("logs/access.log"));
    for _ in 0..ROTATIONS {
        program.await_more(BETWEEN);
        program.await_reading(&service);
        program.await_more(BETWEEN / 10);
        let file = program.file.lock();
        rotate(&service, "copytruncate");
        drop(file);
    }
    program.await_more(BETWEEN);
    let written = await_end(program, &mut service);
    messages(&service).assert_once(&written);
}

/// Scenario: under load the service is killed three times and stopped once; each time the access log is rotated before the
/// next one starts.
/// Guarantees: each line becomes a message; a stop causes no duplicates, nor does a kill when the positions are saved.
#[test]
fn killed_and_rotated() {
    let mut service = home().start();
    let program = Program::start(service.home.path("logs/access.log"));
    for turn in 0..4 {
        program.await_more(2 * BETWEEN);
        // What nobody has seen cannot be found under another name.
        let seen = messages(&service).counts.len();
        wait_until("lines are read", || messages(&service).counts.len() > seen + 20);
        wait_until("a position is saved", || saved(&service).is_some_and(|offset| offset > 0));
        match turn {
            0 => assert_eq!(service.stop(), 0),
            1 => {
                // Nobody writes, and everything that was read is saved.
                let file = program.file.lock();
                let size = file.metadata().unwrap().len();
                wait_until("the position is saved", || saved(&service) == Some(size));
                service.kill();
            }
            _ => service.kill(),
        }
        if turn < 2 {
            assert_eq!(messages(&service).duplicates(), [0; 0]);
        }
        program.await_more(BETWEEN);
        rotate(&service, "create 0644");
        program.reopen();
        service.start_again();
    }
    program.await_more(BETWEEN);
    let written = await_end(program, &mut service);
    messages(&service).assert_all(&written);
}

/// The saved position of the access log.
fn saved(service: &Service) -> Option<u64> {
    let text = fs::read(service.home.path("data/positions/file.json")).ok()?;
    let saved: Value = serde_json::from_slice(&text).ok()?;
    let inode = fs::metadata(service.home.path("logs/access.log")).ok()?.ino();
    saved["files"].as_array()?.iter().find(|file| file["inode"] == inode)?["offset"].as_u64()
}

/// Scenario: a directory into which new files come while the service runs, some under another name first, a compressed one
/// and a hidden one; a file that is removed right after it was written.
/// Guarantees: the lines of the new files become messages, and those of the others do not; `/status` has the numbers.
#[test]
fn new_files_of_a_directory() {
    let port = free_port();
    let home = home().set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{port}"));
    let directory = home.text("logs");
    let mut service = home.set("LOGPHASE_FILE_INCLUDE", directory).set("LOGPHASE_FILE_EXCLUDE", "*.tmp").start();
    let path = |name: &str| service.home.path("logs").join(name);
    let line = |id| format!("{}\n", transaction(id));
    fs::write(path(".hidden"), line(900)).unwrap();
    fs::write(path("old.gz"), line(901)).unwrap();
    for id in 0..30 {
        fs::write(path(&format!("{id}.tmp")), line(id)).unwrap();
        fs::rename(path(&format!("{id}.tmp")), path(&format!("{id}.json"))).unwrap();
    }
    let written = (0..30).collect();
    await_all(&service, &written);
    fs::remove_file(path("0.json")).unwrap();
    append(&path("1.json")).write_all(line(30).as_bytes()).unwrap();
    await_all(&service, &(0..31).collect());
    let files = || {
        serde_json::from_str::<Value>(&ask(port, "GET", "/status", "").2).unwrap()["inputs"]["file"]["files"].clone()
    };
    wait_until("everything is read", || files()["lag_bytes"] == 0 && files()["rotations"] == 1);
    assert_eq!((&files()["left_out"], &files()["truncations"]), (&json!(1), &json!(0)));
    let scrape = Scrape::of(port);
    let value = |name: &str, labels: &[(&str, &str)]| scrape.sum(name, &[&[("input", "file")], labels].concat());
    assert_eq!(value("logphase_transactions_received_total", &[]), 31.0);
    assert_eq!(value("logphase_input_lag_bytes", &[]), 0.0);
    assert_eq!(value("logphase_input_files", &[("state", "left_out")]), 1.0);
    assert_eq!(service.stop(), 0);
    messages(&service).assert_once(&(0..31).collect());
}

/// Scenario: the destination of one route is away and its queue, which is small, is full; lines of that route are in one file,
/// lines of another route in others. Then the destination comes back.
/// Guarantees: the other files are read meanwhile; the lag is a metric; afterwards each message arrives, in order.
#[test]
fn a_full_queue() {
    let port = free_port();
    let mut peer = TcpPeer::absent();
    let home = home();
    let scoped = |name: &str, plugin: Value| json!({"name": name, "plugins": [plugin]});
    let tcp =
        json!({"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port, "queue": {"max_entries": 20}}});
    let file = json!({"name": "file-log", "config": {"path": home.text("messages")}});
    let kong = json!({"_format_version": "3.0", "routes": [scoped("stuck", tcp), scoped("orders", file)]});
    home.write("kong.yml", &kong.to_string());
    let home = home.set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{port}"));
    let home = home.set("LOGPHASE_QUEUE_DURABILITY", "memory").set("LOGPHASE_QUEUE_SPILL", "false");
    let mut service = home.set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1").start();
    let line = |id: u64, route: &str| {
        let mut transaction = transaction(id);
        transaction["route"] = json!({"name": route});
        format!("{transaction}\n")
    };
    let stuck: String = (1000..1500).map(|id| line(id, "stuck")).collect();
    fs::write(service.home.path("logs/stuck.log"), &stuck).unwrap();
    let lag = || Scrape::of(port).sum("logphase_input_max_lag_bytes", &[("input", "file")]);
    wait_until("the queue is full", || {
        Scrape::of(port).sum("logphase_queue_refusals_total", &[("plugin", "tcp-log")]) > 0.0
    });
    for id in 0..40 {
        append(&service.home.path(&format!("logs/{}.log", id % 8))).write_all(line(id, "orders").as_bytes()).unwrap();
    }
    await_all(&service, &(0..40).collect());
    assert!(lag() > 0.0);
    peer.restart();
    peer.wait_for(500);
    wait_until("everything is read", || lag() == 0.0);
    let ids: Vec<_> =
        peer.lines().iter().map(|line| crate::service::id_of(&serde_json::from_slice(line).unwrap())).collect();
    assert_eq!(ids, (1000..1500).map(Some).collect::<Vec<_>>());
    assert_eq!(service.stop(), 0);
    messages(&service).assert_once(&(0..40).collect());
}

/// Scenario: a pattern that is none, and a second service with the same data directory.
/// Guarantees: both are refused, with the reason and a remedy.
#[test]
fn mistakes_are_refused() {
    let home = home();
    let ended = home.run_with(&[("LOGPHASE_FILE_INCLUDE", "/var/log/[a")], &["run", "kong.yml"]);
    assert_eq!(ended.code(), 78, "{}", ended.stderr);
    assert!(ended.stderr.contains("not a pattern"), "{}", ended.stderr);
    let mut service = home.set("LOGPHASE_QUEUE_DURABILITY", "memory").set("LOGPHASE_QUEUE_SPILL", "false").start();
    let other = format!("127.0.0.1:{}", free_port());
    let ended = service.home.run_with(&[("LOGPHASE_HTTP_LISTEN", &other)], &["run", "kong.yml"]);
    assert_ne!(ended.code(), 0, "{}", ended.stderr);
    let says = "another process uses them: give each service a data_dir of its own";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    assert_eq!(service.stop(), 0);
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/files").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Scenario: the example, its files as they are but for the folders; the commands of its README.
/// Guarantees: the line becomes the message that the README promises: with Traefik's values, and the route of kong.yml.
#[test]
fn the_example() {
    let readme = example("README.md");
    for command in [
        "mkdir -p /tmp/logphase-files; logphase run examples/files/kong.yml --settings examples/files/logphase.yml",
        "cat examples/files/access.log >> /tmp/logphase-files/access.log",
        "cat /tmp/logphase-files.log",
    ] {
        assert!(readme.contains(command), "{command}");
    }
    let home = Home::new();
    let replace = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "no {from}");
        text.replace(from, to)
    };
    home.write("kong.yml", &replace(example("kong.yml"), "/tmp/logphase-files.log", &home.text("messages")));
    home.write("logphase.yml", &replace(example("logphase.yml"), "/tmp/logphase-files", &home.text("logs")));
    fs::create_dir(home.path("logs")).unwrap();
    let mut service = home.start_with(&["run", "kong.yml", "--settings", "logphase.yml"]);
    append(&service.home.path("logs/access.log")).write_all(example("access.log").as_bytes()).unwrap();
    let message = || fs::read_to_string(service.home.path("messages")).unwrap_or_default();
    wait_until("the message is there", || message().ends_with('\n'));
    let message: Value = serde_json::from_str(&message()).unwrap();
    assert_eq!(message["request"]["uri"], "/v1/orders?limit=10");
    assert_eq!((&message["response"]["status"], &message["latencies"]["request"]), (&json!(200), &json!(31)));
    assert_eq!((&message["route"]["name"], &message["service"]["name"]), (&json!("orders"), &json!("orders")));
    assert_eq!(message["router"], "orders@file");
    assert_eq!(service.stop(), 0);
}
