//! Files of released versions: `tests/released/VERSION.tar.gz` is the data directory of a service of that version, with messages that
//! wait, dead letters, and a database of entities.
//!
//! `cargo test --test main released::record -- --ignored` writes that of the version under test, which a release does once.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::service::{Home, Nginx, TcpPeer, configuration, id_of, transaction, wait_until};

const WAITING: &str = "5f3a2b10-7c1d-4e8f-9a6b-1c2d3e4f5a6b";
const REFUSED: &str = "6e4b3c21-8d2e-4f9a-8b7c-2d3e4f5a6b7c";
const ENTITIES: &str = "_format_version: '3.0'\nservices: [{name: released, host: released.internal}]\n\
     plugins: [{name: http-log, service: released, config: {http_endpoint: 'http://released.internal/', headers: {X-Key: k}}}]\n";

fn archives() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/released")
}

/// A tcp-log at `port` and an http-log to `nginx`, under the ids that the archives have.
fn home(port: u16, nginx: &Nginx) -> Home {
    let endpoint = format!("http://127.0.0.1:{}/log", nginx.port);
    let plugins = json!([
        {"name": "tcp-log", "id": WAITING, "config": {"host": "127.0.0.1", "port": port}},
        {"name": "http-log", "id": REFUSED, "config": {"http_endpoint": endpoint}},
    ]);
    Home::with(&configuration(&plugins))
        .set("LOGPHASE_SHUTDOWN_TIMEOUT", "1s")
        .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "100ms")
}

fn dead(home: &Home) -> Vec<Value> {
    home.messages_in(&format!("dead-letters/http-log-{REFUSED}"))
}

#[track_caller]
fn tar(arguments: &[&str]) {
    let output = Command::new("tar").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Scenario: a service starts on the data directory of each released version; its receivers are there.
/// Guarantees: what waits is delivered once and in order; dead letters are shown with their reason and can be sent again; the entities
/// are exported as they were.
#[test]
fn files_of_every_release_are_read() {
    let mut versions = Vec::new();
    for archive in std::fs::read_dir(archives()).unwrap().map(|entry| entry.unwrap().path()) {
        versions.push(archive.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz").to_owned());
        let (peer, nginx) = (TcpPeer::start(), Nginx::start(""));
        let home = home(peer.port, &nginx);
        tar(&["-xzf", archive.to_str().unwrap(), "-C", &home.text("")]);
        let exported = home.run(&["config", "export"], b"");
        assert_eq!(exported.code(), 0, "{}", exported.stderr);
        for text in ["released.internal", "X-Key", "http-log"] {
            assert!(exported.stdout.contains(text), "{text}: {}", exported.stdout);
        }
        let mut service = home.start();
        peer.wait_for(3);
        let ids: Vec<_> = dead(&service.home).iter().map(|letter| id_of(&letter["message"])).collect();
        assert_eq!(ids, [Some(0), Some(1), Some(2)]);
        assert!(dead(&service.home).iter().all(|letter| letter["reason"].as_str().unwrap().contains("422")));
        let replayed = service.home.run(&["queue", "replay", "dead-letters/http", "--to", "tcp-log"], b"");
        assert_eq!(replayed.code(), 0, "{}", replayed.stderr);
        peer.wait_for(6);
        let lines: Vec<Value> = peer.lines().iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(lines.iter().map(id_of).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2].map(Some));
        assert_eq!(service.stop(), 0);
    }
    assert!(versions.iter().any(|version| version == "0.1.0"), "{versions:?}");
}

/// Scenario: the version of the program. Guarantees: CHANGELOG.md has it, with a date or as the next one.
#[test]
fn changelog_has_the_version() {
    let changelog = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/CHANGELOG.md")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let heading = changelog.lines().any(|line| line.starts_with(&format!("## [{version}] - ")));
    assert!(heading || changelog.contains(&format!("## [Unreleased]\n\nThis will be {version}")), "{version}");
}

/// Records the files of the version under test; see above.
#[test]
#[ignore = "a release does it once"]
fn record() {
    let nginx = Nginx::start("return 422;");
    let peer = TcpPeer::absent();
    let home = home(peer.port, &nginx);
    home.write("entities.yml", ENTITIES);
    let imported = home.run(&["config", "import", "entities.yml"], b"");
    assert_eq!(imported.code(), 0, "{}", imported.stderr);
    let mut service = home.start();
    for id in 0..3 {
        service.accept(transaction(id).to_string());
    }
    wait_until("the http-log has given up", || dead(&service.home).len() == 3);
    // Messages are left undelivered.
    assert_eq!(service.stop(), 0);
    let archive = archives().join(concat!(env!("CARGO_PKG_VERSION"), ".tar.gz"));
    tar(&[
        "-czf",
        archive.to_str().unwrap(),
        "--sparse",
        "--owner=0",
        "--group=0",
        "-C",
        &service.home.text(""),
        "data",
    ]);
}
