//! Lines of queues on disk, which are confirmed when they are synced.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::json;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A disk whose syncs are counted, and wait or fail as a test tells.
#[derive(Default)]
struct Disk {
    syncs: AtomicUsize,
    fails: AtomicUsize,
    blocked: AtomicBool,
}

impl Disk {
    fn shared(self: &Arc<Self>) -> SinkShared {
        let disk = self.clone();
        let mut shared = SinkShared::new(None).for_queue(true);
        shared.writers = Arc::new(Writers::syncing_with(move |file| {
            while disk.blocked.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            disk.syncs.fetch_add(1, Ordering::SeqCst);
            let fails = disk.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |fails| fails.checked_sub(1));
            if fails.is_ok() { Err(io::Error::other("the disk is broken")) } else { file.sync_data() }
        }));
        shared
    }
}

fn sink(path: &Path, shared: &SinkShared) -> Box<dyn Sink> {
    open(&json!({"path": path}), shared).expect("a sound config")
}

async fn write(sink: &mut dyn Sink, lines: &[&'static str]) {
    let lines: Vec<_> = lines.iter().map(|line| Bytes::from_static(line.as_bytes())).collect();
    assert_eq!(sink.send(&lines).await.unwrap().settled, lines.len());
}

/// Waits until the sink has fewer than `entries` unconfirmed entries.
async fn confirmed(sink: &mut dyn Sink, entries: usize) {
    while sink.unconfirmed() >= entries {
        tokio::time::timeout(PATIENCE, sink.maintain()).await.expect("in time").unwrap();
    }
}

/// Scenario: two plugins of queues on disk and one of a queue in memory write to a file whose disk does not sync; then it
/// does.
/// Guarantees: lines of the first are settled, and unconfirmed until a sync that began after them, and for as long as a
/// `copytruncate` could remove them; those of the other are confirmed at once. Few syncs cover all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_confirmed_by_a_sync() {
    let directory = tempfile::tempdir().unwrap();
    let (path, disk) = (directory.path().join("log"), Arc::new(Disk::default()));
    let shared = disk.shared();
    let (mut one, mut two) = (sink(&path, &shared), sink(&path, &shared));
    let mut volatile = sink(&path, &shared.for_queue(false));
    let started = Instant::now();
    disk.blocked.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        write(one.as_mut(), &["a", "b"]).await;
        write(two.as_mut(), &["c"]).await;
        write(volatile.as_mut(), &["d"]).await;
    }
    assert_eq!((one.unconfirmed(), two.unconfirmed(), volatile.unconfirmed()), (40, 20, 0));
    disk.blocked.store(false, Ordering::SeqCst);
    confirmed(one.as_mut(), 1).await;
    confirmed(two.as_mut(), 1).await;
    assert!(started.elapsed() >= super::writer::RESEND_AGE);
    let syncs = disk.syncs.load(Ordering::SeqCst);
    assert!((1..=20).contains(&syncs), "{syncs} syncs of 60 batches");
    // Closing waits for what is unconfirmed.
    write(one.as_mut(), &["e"]).await;
    one.close().await.unwrap();
    assert_eq!(one.unconfirmed(), 0);
    assert_eq!(disk.syncs.load(Ordering::SeqCst), syncs + 1);
    assert_eq!(fs::read_to_string(&path).unwrap().len(), 2 * 81);
}

/// Scenario: a sync fails, once while a sink waits and once while it has more to write.
/// Guarantees: nothing is confirmed; the error names the file, and all unconfirmed lines are to be written again, by every
/// sink; then they are confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_written_again_after_a_failed_sync() {
    let directory = tempfile::tempdir().unwrap();
    let (path, disk) = (directory.path().join("log"), Arc::new(Disk::default()));
    let shared = disk.shared();
    let (mut one, mut two) = (sink(&path, &shared), sink(&path, &shared));
    disk.fails.store(1, Ordering::SeqCst);
    disk.blocked.store(true, Ordering::SeqCst);
    write(one.as_mut(), &["a", "b"]).await;
    write(two.as_mut(), &["c"]).await;
    disk.blocked.store(false, Ordering::SeqCst);
    let error = tokio::time::timeout(PATIENCE, one.maintain()).await.expect("in time").unwrap_err();
    assert_eq!((error.delivered, error.revoked, error.kind), (0, 2, FailureKind::Retryable));
    assert!(error.message.starts_with(&format!("cannot sync {}: the disk is broken", path.display())), "{error}");
    write(one.as_mut(), &["a", "b"]).await;
    confirmed(one.as_mut(), 1).await;
    // Later syncs do not confirm what an earlier one has lost.
    let error = two.send(&[Bytes::from_static(b"d")]).await.unwrap_err();
    assert_eq!((error.delivered, error.revoked, two.unconfirmed()), (0, 1, 0));
    write(two.as_mut(), &["c", "d"]).await;
    disk.fails.store(1, Ordering::SeqCst);
    assert_eq!(two.close().await.unwrap_err().revoked, 2);
    write(two.as_mut(), &["c", "d"]).await;
    two.close().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\nc\na\nb\nc\nd\nc\nd\n");
}

/// Scenario: a file is moved away between a write and its sync; another one has `reopen: true`.
/// Guarantees: lines of the old file are confirmed by a sync of that file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_were_moved_are_synced() {
    let directory = tempfile::tempdir().unwrap();
    let (path, synced) = (directory.path().join("log"), Arc::new(Mutex::new(Vec::new())));
    let mut shared = SinkShared::new(None).for_queue(true);
    shared.writers = Arc::new(Writers::syncing_with({
        let synced = synced.clone();
        move |file| {
            synced.lock().push(std::os::unix::fs::MetadataExt::ino(&file.metadata()?));
            file.sync_data()
        }
    }));
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let mut sink = open(&json!({"path": path, "reopen": true}), &shared).unwrap();
    write(sink.as_mut(), &["a"]).await;
    fs::rename(&path, directory.path().join("log.1")).unwrap();
    write(sink.as_mut(), &["b"]).await;
    write(sink.as_mut(), &["c"]).await;
    sink.close().await.unwrap();
    let synced = synced.lock();
    assert!(synced.contains(&inode(&path)) && synced.contains(&inode(&directory.path().join("log.1"))), "{synced:?}");
}

/// Scenario: a file is truncated after its lines were written, before or after their sync, and nothing more comes.
/// Guarantees: the lines are written again, and synced, before they are confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncation_without_a_later_line_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    for syncs in [0, 1] {
        let (path, disk) = (directory.path().join(syncs.to_string()), Arc::new(Disk::default()));
        let mut sink = sink(&path, &disk.shared());
        write(sink.as_mut(), &["a", "b"]).await;
        while disk.syncs.load(Ordering::SeqCst) < syncs {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        let before = disk.syncs.load(Ordering::SeqCst);
        confirmed(sink.as_mut(), 1).await;
        assert!(disk.syncs.load(Ordering::SeqCst) > before);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
    }
}

/// Scenario: what is written is a pipe, or a device.
/// Guarantees: lines are confirmed when they are written.
#[tokio::test]
async fn what_has_no_disk_is_confirmed_at_once() {
    let mut sink = sink(Path::new("/dev/null"), &SinkShared::new(None).for_queue(true));
    write(sink.as_mut(), &["a"]).await;
    assert_eq!(sink.unconfirmed(), 0);
    sink.close().await.unwrap();
}
