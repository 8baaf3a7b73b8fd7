//! Unix sockets: their files, and lines over them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::*;
use crate::input::tests::harness::Harness;
use logphase_script::transaction;

fn input(path: &Path) -> Unix {
    let settings = Settings {
        paths: vec![path.to_owned()],
        max_connections: 10,
        idle_timeout: Duration::from_secs(300),
        mapping: "kong".to_owned(),
        match_routes: None,
    };
    Unix { settings, decoder: TextDecoder::kong(Format::Object, transaction::Limits::default()) }
}

fn bind_error(path: &Path) -> String {
    input(path).bind().err().expect("the path cannot be bound").to_string()
}

/// Scenario: a Unix socket is bound, bound a second time while it is served, left behind by a crash, bound again.
/// Guarantees: mode 0660; a live socket is never taken over; a dead one is replaced; the input removes its own at the end.
#[tokio::test]
async fn socket_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("logphase.sock");
    // What a killed process leaves: a socket file without a listener.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());

    let mut harness = Harness::start(input(&path));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    let error = bind_error(&path);
    assert!(error.contains("another process listens there"), "{error}");

    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"{\"a\":1}\n").await.unwrap();
    assert_eq!(harness.worker().wait_for(1).await, [r#"{"a":1}"#]);
    harness.stop().await;
    assert!(!path.exists());
}

/// Scenario: a regular file, a missing directory, a path too long for a socket; a socket file that another process replaces.
/// Guarantees: no file is removed that is not a dead socket or the input's own; each error says what to do.
#[tokio::test]
async fn files_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "precious").unwrap();
    let error = bind_error(&path);
    assert!(error.contains("there is a file that is not a socket"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");

    let error = bind_error(&directory.path().join("no/such"));
    assert!(error.contains("create its directory first"), "{error}");
    let error = bind_error(&directory.path().join("x".repeat(200)));
    assert!(error.contains("shorter path"), "{error}");

    let path = directory.path().join("ours");
    let bound = input(&path).bind().unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "somebody else's").unwrap();
    drop(bound);
    assert!(path.exists());
}

/// Scenario: sockets in a directory, and one in the working directory.
/// Guarantees: the input declares the directories, in which it creates and removes the sockets.
#[test]
fn declares_directories() {
    let mut input = input(Path::new("/run/logphase/a.sock"));
    input.settings.paths.push("b.sock".into());
    let Files { read, write } = input.files();
    assert_eq!((read, write), (vec![], vec![PathBuf::from("/run/logphase"), PathBuf::from(".")]));
}
