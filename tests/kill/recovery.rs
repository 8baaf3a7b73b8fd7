//! Errors of the system when queues are opened: files of another user, files that may not be read, too few descriptors.
//!
//! A service may run as another user than before only for root, so these tests run the service as `nobody` if root runs
//! them. Otherwise the test's own user is the service's, and what root would have left is a file without permissions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::random::{Mood, Protocol, Receiver, Rng};
use crate::service::{Ended, Home, Nginx, Service, ask, configuration, free_port, transaction, wait_until};

/// The user `nobody`.
const NOBODY: u32 = 65534;
/// Messages of each run.
const EACH: u64 = 100;
/// Small segments: there are several.
const DISK_BYTES: &str = "1MiB";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A service that runs as an ordinary user, with an http-log.
struct Site {
    service: Service,
    receiver: Receiver,
    status: u16,
    sent: BTreeSet<u64>,
}

/// The command that runs a program as `nobody`; none if the test is not root.
fn as_nobody(home: &mut Home) {
    if is_root() {
        home.run_through(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    }
}

/// A directory in which `nobody` can work, with a copy of the program, as the build's folder may be closed to it.
fn open_to_nobody(home: &mut Home) {
    if is_root() {
        let directory = home.path("");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(home.path("data")).unwrap();
        give(&home.path("data"), NOBODY);
        home.use_copy_of_program();
    }
    as_nobody(home);
}

/// Gives a directory with all its content to a user.
fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), user));
    }
}

impl Site {
    /// A backlog of the first run, which an ordinary user has left: the receiver is away, the service was killed.
    fn with_backlog() -> Self {
        let receiver = Receiver::start(Protocol::Http, Rng::new(0), padded);
        let status = free_port();
        let endpoint = format!("http://127.0.0.1:{}/", receiver.port);
        let home = Home::with(&configuration(&json!([{"name": "http-log", "config": {"http_endpoint": endpoint}}])));
        let mut home = home
            .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1")
            .set("LOGPHASE_QUEUE_MAX_DISK_BYTES", DISK_BYTES)
            .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
        open_to_nobody(&mut home);
        receiver.set_mood(Mood::Away);
        let mut site = Self { service: home.start(), receiver, status, sent: BTreeSet::new() };
        site.accept_more();
        site.service.kill();
        site
    }

    /// Accepts messages, each large enough that a run fills more than one segment.
    fn accept_more(&mut self) {
        let mut client = self.service.client();
        for id in self.sent.len() as u64..self.sent.len() as u64 + EACH {
            let answer = client.post(padded(id).to_string().as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            self.sent.insert(id);
        }
    }

    /// Starts the service, which must not become ready and must say this error of the system; returns its log.
    #[track_caller]
    fn refuses(&mut self, error: &str) -> String {
        let before = files(&self.service.home.path("data"));
        self.service.launch_again();
        wait_until("the service ends, or says that it is not ready", || {
            !self.service.is_running() || self.service.has_logged("INFO ready") || self.is_unready(error)
        });
        if self.service.is_running() {
            let ready = self.service.has_logged("INFO ready");
            self.service.kill();
            assert!(!ready, "it is ready although it cannot read its queue\n{}", self.service.log());
        } else {
            assert_ne!(self.service.wait(), 0);
        }
        let log = self.service.log();
        assert!(log.contains(error), "{error} is not named\n{log}");
        assert_eq!(files(&self.service.home.path("data")), before, "files changed\n{log}");
        log
    }

    /// Whether the service runs, has said this error, and answers that it is not ready: it may retry instead of ending.
    fn is_unready(&self, error: &str) -> bool {
        let listens = TcpStream::connect(("127.0.0.1", self.status)).is_ok();
        self.service.has_logged(error) && listens && ask(self.status, "GET", "/status/ready", "").0 == 503
    }

    /// Starts the service with a receiver that takes everything; everything must arrive.
    fn delivers_all(mut self) {
        self.receiver.set_mood(Mood::Good);
        self.service.start_again();
        wait_until("everything that was answered has arrived", || {
            self.sent.is_subset(&self.receiver.arrivals().ids()) || !self.service.is_running()
        });
        assert_eq!(self.service.stop(), 0);
    }

    /// The files of the queue that end with this.
    fn files(&self, suffix: &str) -> Vec<PathBuf> {
        let all = files(&self.service.home.path("data/queues")).into_keys();
        all.filter(|path| path.to_string_lossy().ends_with(suffix)).collect()
    }
}

/// The message with some more bytes.
fn padded(id: u64) -> Value {
    let mut transaction = transaction(id);
    transaction["padding"] = "x".repeat(3000).into();
    transaction
}

/// All files below a directory, with their sizes and owners; the lock is nobody's business.
fn files(directory: &Path) -> BTreeMap<PathBuf, (u64, u32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !["lock", "control.sock"].iter().any(|name| path.ends_with(name)) {
            let about = fs::metadata(&path).unwrap();
            found.insert(path, (about.len(), about.uid()));
        }
    }
    found
}

fn set_mode(files: &[PathBuf], mode: u32) {
    assert!(!files.is_empty());
    for file in files {
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Fails unless the log says whose fault it is and what mends it.
#[track_caller]
fn assert_helpful(log: &str, files: &[PathBuf]) {
    let named = files.iter().any(|file| log.contains(file.to_str().expect("a plain name")));
    assert!(named, "none of {files:?} is named\n{log}");
    let helps = ["chown", "chmod", "owner", "user", "permission to"].iter().any(|word| log.contains(word));
    assert!(helps, "what to do is not said\n{log}");
}

/// Scenario: a service runs as one user, once as root, and again as the first user, after files of the second run were given
/// to root; then all files are given to it. (Not as root: the second run's files lose their permissions.)
/// Guarantees: files that root creates belong to the owner of their directory; the service refuses to start with a file of
/// root, names it and what to do, and changes nothing; afterwards everything that was answered in both runs arrives.
#[test]
fn one_run_as_root() {
    let mut site = Site::with_backlog();
    let before: BTreeSet<PathBuf> = site.files(".seg").into_iter().collect();
    site.service.home.run_through(&[]);
    site.service.start_again();
    site.accept_more();
    site.service.kill();
    as_nobody(&mut site.service.home);
    let roots: Vec<_> = site.files(".seg").into_iter().filter(|file| !before.contains(file)).collect();
    if is_root() {
        assert!(roots.iter().all(|file| fs::metadata(file).unwrap().uid() == NOBODY), "{roots:?}");
        // An earlier version left them to root.
        roots.iter().for_each(|file| give(file, 0));
        set_mode(&roots, 0o600);
    } else {
        set_mode(&roots, 0);
    }
    let log = site.refuses("Permission denied");
    assert_helpful(&log, &roots);
    if is_root() {
        give(&site.service.home.path("data"), NOBODY);
    } else {
        set_mode(&roots, 0o600);
    }
    site.delivers_all();
}

/// Scenario: the segments of a queue, one of them, its cursor or its folder may not be read.
/// Guarantees: the service refuses to start, names the file and what to do, and changes nothing; afterwards everything
/// arrives.
#[test]
fn files_without_permissions() {
    let mut site = Site::with_backlog();
    // Something is delivered, so that there is a cursor.
    site.receiver.set_mood(Mood::Good);
    site.service.start_again();
    wait_until("there is a cursor", || !site.files("cursor").is_empty());
    site.receiver.set_mood(Mood::Away);
    site.accept_more();
    site.service.kill();
    let segments = site.files(".seg");
    for files in [segments.clone(), segments[segments.len() - 1..].to_vec(), site.files("cursor")] {
        set_mode(&files, 0);
        let log = site.refuses("Permission denied");
        assert_helpful(&log, &files);
        set_mode(&files, 0o600);
    }
    site.delivers_all();
}

/// Scenario: the service starts with fewer and fewer descriptors, so that some limit ends each step of opening its queue.
/// Guarantees: it starts or refuses, says that there are too many open files where its queue could not be opened, and
/// renames and removes nothing; afterwards everything arrives.
#[test]
fn too_few_descriptors() {
    let mut site = Site::with_backlog();
    let mut hits = 0;
    for limit in (6..44).rev() {
        let names = || -> BTreeSet<PathBuf> { files(&site.service.home.path("data/queues")).into_keys().collect() };
        let before = names();
        site.service.home.run_through(&["prlimit", &format!("--nofile={limit}"), "--"]);
        site.service.launch_again();
        wait_until("the service is ready, or ends", || {
            !site.service.is_running() || site.service.has_logged("INFO ready")
        });
        if site.service.is_running() {
            site.service.kill();
        } else {
            assert_ne!(site.service.wait(), 0);
        }
        let log = site.service.log();
        hits += usize::from(log.contains("Too many open files") && log.contains("data/queues/"));
        let after: BTreeSet<PathBuf> = files(&site.service.home.path("data/queues")).into_keys().collect();
        assert!(before.is_subset(&after), "--nofile={limit}: {before:?} became {after:?}\n{log}");
    }
    assert!(hits > 0, "no limit came in the way of a queue: the test is not about it any more");
    site.service.home.run_through(&[]);
    if is_root() {
        give(&site.service.home.path("data"), NOBODY);
    }
    as_nobody(&mut site.service.home);
    site.delivers_all();
}

/// A stopped service with five dead letters, of an ordinary user.
fn five_dead_letters(nginx: &Nginx) -> Service {
    let endpoint = format!("http://127.0.0.1:{}/log", nginx.port);
    let home = Home::with(&configuration(&json!([{"name": "http-log", "config": {"http_endpoint": endpoint}}])));
    let mut home = home.set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "100ms");
    open_to_nobody(&mut home);
    let mut service = home.start();
    for id in 0..5 {
        service.accept(transaction(id).to_string());
    }
    wait_until("all messages are dead letters", || letters(&service.home) == 5);
    assert_eq!(service.stop(), 0);
    service
}

fn letters(home: &Home) -> u64 {
    let queues = home.queues();
    let found = queues.iter().filter(|queue| queue["state"] == "dead_letters");
    found.map(|queue| queue["messages"].as_u64().unwrap()).sum()
}

fn replay(home: &Home) -> Ended {
    home.run(&["queue", "replay", "dead-letters/http-log"], b"")
}

/// A receiver that refuses permanently while a file `refuse` exists.
fn refusing() -> Nginx {
    let nginx = Nginx::start("if (-f PATH/refuse) { return 422; }");
    fs::write(nginx.path("refuse"), "").unwrap();
    nginx
}

/// Scenario: root replays the dead letters of a stopped service of another user, and the service starts again.
/// Guarantees: every file belongs to the directory's owner, and all messages arrive. (Not as root, the owner is the same
/// in any case.)
#[test]
fn root_replays_for_another_user() {
    let nginx = refusing();
    let mut service = five_dead_letters(&nginx);
    fs::remove_file(nginx.path("refuse")).unwrap();
    let owner = fs::metadata(service.home.path("data")).unwrap().uid();
    service.home.run_through(&[]);
    let ended = replay(&service.home);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let others: Vec<_> = files(&service.home.path("data")).into_iter().filter(|(_, about)| about.1 != owner).collect();
    as_nobody(&mut service.home);
    service.start_again();
    wait_until("all messages have arrived", || {
        nginx.messages().missing(&(0..5).collect()).is_empty() || !service.is_running()
    });
    assert_eq!(others, [], "files of another owner than {owner}");
    assert_eq!(service.stop(), 0);
}

/// Scenario: a command of an ordinary user on the stopped service of another one: the dead letters cannot be read; then
/// they can be read, and the queue of the plugin cannot be written.
/// Guarantees: it fails with the words of the system and changes nothing; after the cause is mended all messages arrive.
#[test]
fn a_command_without_permissions() {
    let nginx = refusing();
    let mut service = five_dead_letters(&nginx);
    fs::remove_file(nginx.path("refuse")).unwrap();
    let data = service.home.path("data");
    let segments: Vec<PathBuf> = files(&data.join("dead-letters")).into_keys().collect();
    let queues = [data.join("queues")];
    for (files_of, closed, opened) in [(&segments[..], 0, 0o600), (&queues[..], 0o500, 0o700)] {
        set_mode(files_of, closed);
        let before = files(&data);
        let ended = replay(&service.home);
        assert_ne!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains("Permission denied"), "{}", ended.stderr);
        assert_eq!(files(&data), before, "files changed: {}", ended.stderr);
        set_mode(files_of, opened);
    }
    let ended = replay(&service.home);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    service.start_again();
    wait_until("all messages have arrived", || nginx.messages().missing(&(0..5).collect()).is_empty());
    assert_eq!(service.stop(), 0);
}
