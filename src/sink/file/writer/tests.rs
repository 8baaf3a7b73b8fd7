use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::lines::{WriteVectored, write_rest};
use super::*;
use crate::sink::SinkShared;

const REOPEN: AppendMode = AppendMode { reopen: true, confirm: false };

fn writer(writers: &Writers, path: &Path) -> Arc<Writer> {
    writers.get(path, || SinkShared::new(None).resend_buffer(RESEND_AGE))
}

fn lines(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()
}

fn numbered(from: usize, to: usize) -> Vec<Bytes> {
    (from..to).map(|i| Bytes::from(format!("{{\"id\":{i},\"pad\":\"{}\"}}", "x".repeat(i % 300)))).collect()
}

/// The ids of the whole lines in `text`; panics at a partial one.
fn ids(text: &str) -> Vec<usize> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect("a whole line");
            let id = value["id"].as_u64().expect("an id") as usize;
            assert_eq!(value["pad"].as_str().map(str::len), Some(id % 300), "the line is whole");
            id
        })
        .collect()
}

async fn append(writer: &Arc<Writer>, batch: Vec<Bytes>) -> usize {
    let outcome = writer.clone().append(batch, AppendMode::default()).await;
    assert_eq!(outcome.failure, None);
    outcome.written
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
}

/// Scenario: two plugins name one file in different spellings and write to it.
/// Guarantees: they share a writer, and all lines are present and whole, in each plugin's order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_writer_per_path() {
    let directory = tempfile::tempdir().unwrap();
    symlink(directory.path(), directory.path().join("link")).unwrap();
    let writers = Writers::default();
    let one = writer(&writers, &directory.path().join("log"));
    let two = writer(&writers, &directory.path().join("link").join("log"));
    assert!(Arc::ptr_eq(&one, &two));
    let write = |writer: Arc<Writer>, first: usize| {
        tokio::spawn(async move {
            for from in (first..first + 2000).step_by(50) {
                append(&writer, numbered(from, from + 50)).await;
            }
        })
    };
    let (a, b) = (write(one, 0), write(two, 10_000));
    a.await.unwrap();
    b.await.unwrap();
    let found = ids(&fs::read_to_string(directory.path().join("log")).unwrap());
    let (small, large): (Vec<_>, Vec<_>) = found.into_iter().partition(|&id| id < 10_000);
    assert_eq!(small, (0..2000).collect::<Vec<_>>());
    assert_eq!(large, (10_000..12_000).collect::<Vec<_>>());
}

/// Runs a writer under load while `rotate` is called with the path and a serial number; returns the number of written
/// lines.
async fn under_load(path: &Path, rotations: usize, rotate: impl Fn(&Path, usize) + Send + 'static) -> usize {
    let writers = Writers::default();
    let writer = writer(&writers, path);
    append(&writer, numbered(0, 1)).await;
    let done = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicUsize::new(1));
    let rotating = tokio::task::spawn_blocking({
        let (path, done, written) = (path.to_owned(), done.clone(), written.clone());
        move || {
            for serial in 0..rotations {
                let seen = written.load(Ordering::SeqCst);
                rotate(&path, serial);
                // Wait until lines are written before the next rotation.
                while written.load(Ordering::SeqCst) < seen + 200 {
                    std::thread::yield_now();
                }
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    let mut next = 1;
    while !done.load(Ordering::SeqCst) {
        next += append(&writer, numbered(next, next + 37)).await;
        written.store(next, Ordering::SeqCst);
    }
    rotating.await.unwrap();
    append(&writer, numbered(next, next + 1)).await;
    next + 1
}

fn all_files(directory: &Path) -> Vec<usize> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        all.extend(ids(&fs::read_to_string(entry.unwrap().path()).unwrap()));
    }
    all.sort_unstable();
    all
}

/// Scenario: logrotate's `create` under load: the file is renamed and created again without a signal.
/// Guarantees: every line is in one of the files, whole and once; the new file is used at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_by_rename_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let total = under_load(&path, 20, |path, serial| {
        fs::rename(path, path.with_extension(serial.to_string())).unwrap();
        // The writer may have created the file already.
        let _ = fs::OpenOptions::new().write(true).create_new(true).open(path);
    })
    .await;
    assert_eq!(all_files(directory.path()), (0..total).collect::<Vec<_>>());
    assert!(ids(&fs::read_to_string(&path).unwrap()).contains(&(total - 1)));
}

/// Scenario: logrotate's `copytruncate` under load, with a pause between copy and truncation.
/// Guarantees: every line is in one of the files and whole; some may be duplicated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_by_copytruncate_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let total = under_load(&path, 10, |path, serial| {
        // Like logrotate's, a copy taken during a write may end within a line; the resend contains the whole line.
        let mut text = Vec::new();
        fs::File::open(path).unwrap().read_to_end(&mut text).unwrap();
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        fs::write(path.with_extension(serial.to_string()), &text[..whole]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    })
    .await;
    let mut found = all_files(directory.path());
    found.dedup();
    assert_eq!(found, (0..total).collect::<Vec<_>>());
}

/// Scenario: the file is removed between two batches; in another run a reopening is requested.
/// Guarantees: it is created again at once, and reopening continues to append to the same file.
#[tokio::test]
async fn a_removed_file_is_created_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let writers = Writers::default();
    let writer = writer(&writers, &path);
    append(&writer, lines(&["one"])).await;
    fs::remove_file(&path).unwrap();
    append(&writer, lines(&["two"])).await;
    writers.reopen_all();
    append(&writer, lines(&["three"])).await;
    assert!(!writer.reopen.load(Ordering::SeqCst));
    let outcome = writer.clone().append(lines(&["four"]), REOPEN).await;
    assert_eq!((outcome.written, outcome.failure), (1, None));
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\nthree\nfour\n");
}

/// Scenario: the file is truncated to nothing between batches, with `reopen: true`.
/// Guarantees: the recent lines are written again, and a warning says so.
#[tokio::test]
async fn truncation_is_seen_across_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let writers = Writers::default();
    let writer = writer(&writers, &path);
    writer.clone().append(lines(&["one", "two"]), REOPEN).await;
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    let outcome = writer.clone().append(lines(&["three"]), REOPEN).await;
    assert!(outcome.warning.is_some_and(|text| text.contains("last 2 lines were written again")));
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
}

/// Scenario: files that end within a line, with a newline, or are empty, before a writer opens them; one of them is opened again
/// by each batch.
/// Guarantees: a torn line is one of its own, and no line is empty.
#[tokio::test]
async fn a_torn_line_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    for (before, expected) in
        [("one\nha", "one\nha\ntwo\nthree\n"), ("one\n", "one\ntwo\nthree\n"), ("", "two\nthree\n")]
    {
        for mode in [AppendMode::default(), REOPEN] {
            let path = directory.path().join("log");
            fs::write(&path, before).unwrap();
            let writer = writer(&Writers::default(), &path);
            for line in ["two", "three"] {
                let outcome = writer.clone().append(lines(&[line]), mode).await;
                assert_eq!((outcome.written, outcome.failure, outcome.warning), (1, None, None));
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        }
    }
}

/// Scenario: a file with half a line gets the place of the one that is written.
/// Guarantees: the next line is one of its own.
#[tokio::test]
async fn a_torn_line_of_another_file_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let writers = Writers::default();
    let writer = writer(&writers, &path);
    append(&writer, lines(&["one"])).await;
    fs::write(directory.path().join("new"), "ha").unwrap();
    fs::rename(directory.path().join("new"), &path).unwrap();
    append(&writer, lines(&["two"])).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "ha\ntwo\n");
}

/// Scenario: the directory is missing and later created; the path is a directory; the device is full.
/// Guarantees: each error says what, where and what to do; nothing counts as written; writing succeeds after the cause
/// is fixed.
#[tokio::test]
async fn errors_are_clear_and_transient() {
    let directory = tempfile::tempdir().unwrap();
    let writers = Writers::default();
    let missing = directory.path().join("missing");
    let absent = writer(&writers, &missing.join("log"));
    let outcome = absent.clone().append(lines(&["a"]), AppendMode::default()).await;
    let message = outcome.failure.expect("there is no directory");
    assert!(message.contains(&format!("the directory {} does not exist; create it", missing.display())), "{message}");
    fs::create_dir(&missing).unwrap();
    assert_eq!(append(&absent, lines(&["a"])).await, 1);

    let outcome = writer(&writers, &missing).append(lines(&["a"]), AppendMode::default()).await;
    let message = outcome.failure.expect("a directory is no file");
    assert!(message.contains("it is a directory; set config.path to a file in it"), "{message}");

    let outcome = writer(&writers, Path::new("/dev/full")).append(lines(&["a", "b"]), AppendMode::default()).await;
    assert_eq!(outcome.written, 0);
    let message = outcome.failure.expect("the device is full");
    assert_eq!(message, "cannot write to /dev/full: no space left on its file system; free some");
}

/// The full name of the test `name` of this module, which runs itself in a child process.
fn this(name: &str) -> String {
    let (_, module) = module_path!().split_once("::").expect("a module of the crate");
    format!("{module}::{name}")
}

/// Set in the child process of [`a_full_file_keeps_whole_lines`]: the file to write to.
const CHILD_FILE: &str = "LOGPHASE_TEST_FULL_FILE";

/// Scenario: a limit on file sizes stops a write in the middle of a line, in a child process.
/// Guarantees: the file ends with a whole line and contains exactly the lines that count as written; when there is
/// space again, the remaining lines follow without a gap.
#[tokio::test]
async fn a_full_file_keeps_whole_lines() {
    if let Some(path) = std::env::var_os(CHILD_FILE) {
        return fill_file(Path::new(&path)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    // The shell sets the limit (8 blocks of 512 or 1,024 bytes) and ignores the signal, so that the write fails.
    let script = r#"trap "" XFSZ; ulimit -S -f 8; exec "$0" --exact --nocapture "$1""#;
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new("sh");
    let output = command
        .args(["-c", script])
        .arg(program)
        .arg(this("a_full_file_keeps_whole_lines"))
        .env(CHILD_FILE, &path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(ids(&fs::read_to_string(&path).unwrap()), (0..100).collect::<Vec<_>>());
}

async fn fill_file(path: &Path) {
    let writers = Writers::default();
    let writer = writer(&writers, path);
    let outcome = writer.clone().append(numbered(0, 100), AppendMode::default()).await;
    let message = outcome.failure.expect("a hundred lines are more than the limit");
    assert!(message.contains("the file is at the limit for sizes"), "{message}");
    let written = ids(&fs::read_to_string(path).unwrap());
    assert!(!written.is_empty());
    assert_eq!(written, (0..outcome.written).collect::<Vec<_>>());
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
    append(&writer, numbered(outcome.written, 100)).await;
}

/// Set in the child process of [`standard_output_is_the_inherited_one`].
const CHILD_OUTPUT: &str = "LOGPHASE_TEST_OUTPUT";

/// Scenario: a child process writes to `/dev/stdout`, which is a pipe.
/// Guarantees: the inherited descriptor is used, and all lines arrive whole, also lines longer than `PIPE_BUF`.
#[tokio::test]
async fn standard_output_is_the_inherited_one() {
    let long = || Bytes::from(format!("{{\"long\":\"{}\"}}", "y".repeat(100_000)));
    if std::env::var_os(CHILD_OUTPUT).is_some() {
        let writer = writer(&Writers::default(), Path::new("/dev/stdout"));
        append(&writer, numbered(0, 3000)).await;
        append(&writer, vec![long()]).await;
        return;
    }
    let name = this("standard_output_is_the_inherited_one");
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", "--nocapture", &name]).env(CHILD_OUTPUT, "1").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // The test harness of the child also writes to standard output.
    let from = text.find("{\"id\":0").expect("the first line");
    let to = text.find("{\"long\"").expect("the long line");
    assert_eq!(ids(&text[from..to]), (0..3000).collect::<Vec<_>>());
    assert_eq!(text[to..].lines().next().unwrap().as_bytes(), long());
}

/// Scenario: a named pipe without a reader, then with a reader that ends in the middle and starts again.
/// Guarantees: the first is a clear error; afterwards every line arrives whole at one of the readers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_gets_whole_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    fifo(&path);
    let writers = Writers::default();
    let writer = writer(&writers, &path);
    let outcome = writer.clone().append(lines(&["a"]), AppendMode::default()).await;
    assert!(outcome.failure.expect("no reader").contains("no process reads the pipe"));

    let read = |until: usize| {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            // Reads byte by byte, so that ending loses no read bytes.
            let mut reader = BufReader::with_capacity(1, fs::File::open(&path).unwrap());
            let mut text = String::new();
            while !text.contains(&format!("\"id\":{until},")) || !text.ends_with('\n') {
                assert!(reader.read_line(&mut text).unwrap() > 0, "the writer is there");
            }
            text
        })
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    let first = read(99);
    let mut second = None;
    let mut next = 0;
    while next < 1000 {
        assert!(Instant::now() < deadline);
        if first.is_finished() && second.is_none() {
            second = Some(read(999));
        }
        let outcome = writer.clone().append(numbered(next, (next + 25).min(1000)), AppendMode::default()).await;
        next += outcome.written;
    }
    let mut text = first.await.unwrap();
    text.push_str(&second.expect("the first reader left early").await.unwrap());
    let mut found = ids(&text);
    found.dedup();
    assert_eq!(found, (0..1000).collect::<Vec<_>>());
}

/// A stream that accepts bytes and fails according to a script, and records the accepted bytes.
struct Scripted {
    steps: Vec<Option<usize>>,
    taken: Vec<u8>,
}

impl WriteVectored for Scripted {
    fn write(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let Some(mut room) = self.steps.pop().unwrap_or(Some(usize::MAX)) else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        let before = self.taken.len();
        for slice in slices {
            let part = slice.len().min(room);
            self.taken.extend_from_slice(&slice[..part]);
            room -= part;
        }
        Ok(self.taken.len() - before)
    }
}

proptest! {
    /// Scenario: any lines, written to a stream that accepts any number of bytes at a time and fails at any points; the
    /// partial line is completed before the next attempt, as for a pipe.
    /// Guarantees: the stream gets exactly the lines, in order, each with its newline.
    #[test]
    fn short_writes_and_failures_tear_no_line(
        texts in prop::collection::vec("[a-z]{0,9}", 1..40),
        steps in prop::collection::vec(prop::option::weighted(0.8, 1usize..30), 0..60),
    ) {
        let batch: Vec<Bytes> = texts.iter().map(|text| Bytes::from(text.clone())).collect();
        let mut out = Scripted { steps, taken: Vec::new() };
        let mut done = 0;
        while done < batch.len() {
            let before = out.taken.len();
            let progress = write_lines(&mut out, &batch[done..]);
            prop_assert_eq!(out.taken.len() - before, progress.bytes);
            done += progress.lines;
            if let Some(partial) = progress.partial {
                prop_assert_eq!(&partial.line, &batch[done]);
                let mut rest = partial.rest;
                while !rest.is_empty() {
                    let (written, _) = write_rest(&mut out, &rest);
                    rest = rest.slice(written..);
                }
                done += 1;
            } else {
                prop_assert_eq!(progress.failure.is_none(), done == batch.len());
            }
        }
        let expected: String = texts.iter().map(|text| format!("{text}\n")).collect();
        prop_assert_eq!(String::from_utf8(out.taken).unwrap(), expected);
    }
}
