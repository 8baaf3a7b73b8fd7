use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A watch whose reads the test triggers.
struct Bench {
    directory: TempDir,
    watch: Watch,
}

impl Bench {
    /// Watches `names`, which `make` creates.
    fn new(names: &[&str], make: impl Fn(&Path)) -> Self {
        let directory = TempDir::new().unwrap();
        make(directory.path());
        let files: Vec<_> = names.iter().map(|name| directory.path().join(name)).collect();
        let tried = Contents::read(&files);
        let settings = settings::Reload { watch: true, interval: Duration::from_millis(1) };
        Self { directory, watch: Watch::new(files, tried, &settings) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Reads the files once. Returns whether to reload.
    fn look(&mut self) -> bool {
        let now = Contents::read(&self.watch.files);
        self.watch.note(now)
    }

    /// Asserts that a change is noticed at the second read, and only once.
    #[track_caller]
    fn assert_taken(&mut self) {
        assert!(!self.look(), "one read is not sufficient");
        assert!(self.look(), "nothing was noticed");
        self.watch.tried = Contents::read(&self.watch.files);
        self.assert_quiet();
    }

    #[track_caller]
    fn assert_quiet(&mut self) {
        for _ in 0..5 {
            assert!(!self.look(), "there is nothing new");
        }
    }
}

fn kong(text: &'static str) -> impl Fn(&Path) {
    move |directory| fs::write(directory.join("kong.yml"), text).unwrap()
}

/// Scenario: a file is written in place, replaced by a rename, removed and created again, and gets its first contents again.
/// Guarantees: each change is noticed once.
#[test]
fn every_way_to_write() {
    let mut bench = Bench::new(&["kong.yml"], kong("one"));
    bench.assert_quiet();
    fs::write(bench.path("kong.yml"), "two").unwrap();
    bench.assert_taken();
    fs::write(bench.path("kong.yml~"), "six").unwrap();
    fs::rename(bench.path("kong.yml~"), bench.path("kong.yml")).unwrap();
    bench.assert_taken();
    fs::remove_file(bench.path("kong.yml")).unwrap();
    bench.assert_quiet();
    fs::write(bench.path("kong.yml"), "ten").unwrap();
    bench.assert_taken();
    fs::write(bench.path("kong.yml"), "one").unwrap();
    bench.assert_taken();
}

/// Scenario: a volume of the kubelet: `kong.yml -> ..data/kong.yml`, `..data -> ..1`; the link `..data` is replaced by one
/// to `..2`, and `..1` is removed; then by one to `..3`, with the same contents.
/// Guarantees: the first change is noticed, the second is not.
#[test]
fn kubelet_swaps_a_link() {
    let version = |directory: &Path, number: u32, text: &str| {
        let folder = directory.join(format!("..{number}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("kong.yml"), text).unwrap();
        symlink(format!("..{number}"), directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    };
    let mut bench = Bench::new(&["kong.yml"], |directory| {
        version(directory, 1, "one");
        symlink("..data/kong.yml", directory.join("kong.yml")).unwrap();
    });
    bench.assert_quiet();
    version(bench.directory.path(), 2, "two");
    fs::remove_dir_all(bench.path("..1")).unwrap();
    bench.assert_taken();
    version(bench.directory.path(), 3, "two");
    bench.assert_quiet();
}

/// Scenario: a file is written again with the same contents, and gets another modification time.
/// Guarantees: this is not a change.
#[test]
fn touched_is_not_changed() {
    let mut bench = Bench::new(&["kong.yml"], kong("one"));
    fs::write(bench.path("kong.yml"), "one").unwrap();
    fs::File::options().write(true).open(bench.path("kong.yml")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    bench.assert_quiet();
}

/// Scenario: a file is written in three steps, with a read after each; another change is reverted after one read.
/// Guarantees: partial contents are not tried; the reverted change is not noticed.
#[test]
fn half_written() {
    let mut bench = Bench::new(&["kong.yml"], kong("one"));
    for text in ["", "tw", "two"] {
        fs::write(bench.path("kong.yml"), text).unwrap();
        assert!(!bench.look());
    }
    assert!(bench.look());
    bench.watch.tried = Contents::read(&bench.watch.files);
    fs::write(bench.path("kong.yml"), "three").unwrap();
    assert!(!bench.look());
    fs::write(bench.path("kong.yml"), "two").unwrap();
    bench.assert_quiet();
}

/// Scenario: two files and a missing settings file; the settings file is created and removed; one file changes, another
/// becomes a directory.
/// Guarantees: new and changed files are noticed; missing and unreadable ones are waited for.
#[test]
fn several_files() {
    let mut bench = Bench::new(&["logphase.yml", "a.yml", "b.yml"], |directory| {
        fs::write(directory.join("a.yml"), "a").unwrap();
        fs::write(directory.join("b.yml"), "b").unwrap();
    });
    bench.assert_quiet();
    fs::write(bench.path("logphase.yml"), "workers: 1").unwrap();
    bench.assert_taken();
    fs::write(bench.path("b.yml"), "c").unwrap();
    bench.assert_taken();
    fs::remove_file(bench.path("logphase.yml")).unwrap();
    bench.assert_quiet();
    fs::write(bench.path("logphase.yml"), "workers: 1").unwrap();
    bench.assert_quiet();
    fs::remove_file(bench.path("a.yml")).unwrap();
    fs::create_dir(bench.path("a.yml")).unwrap();
    bench.assert_quiet();
}

/// Scenario: a file is missing for longer than the grace period, and is created again.
/// Guarantees: it is reported once, after the grace period; the other files are then tried once, as the new configuration may
/// not name it; the new file is a change.
#[test]
fn missing_for_long() {
    let mut bench = Bench::new(&["kong.yml"], kong("one"));
    fs::remove_file(bench.path("kong.yml")).unwrap();
    let reported = |bench: &Bench| bench.watch.missing.as_ref().is_some_and(|missing| missing.reported);
    assert!(!bench.look() && !reported(&bench));
    if let Some(missing) = &mut bench.watch.missing {
        missing.since = missing.since.checked_sub(MISSING_GRACE).expect("the machine has been up for longer");
    }
    assert!(!bench.look() && reported(&bench));
    assert!(bench.look(), "the other files are tried");
    bench.watch.tried = Contents::read(&bench.watch.files);
    bench.assert_quiet();
    fs::write(bench.path("kong.yml"), "two").unwrap();
    bench.assert_taken();
    assert!(bench.watch.missing.is_none());
}

/// Scenario: a missing file is created and cannot be read (it is a directory).
/// Guarantees: a reload is tried, so that the error is reported; other changes are still noticed.
#[test]
fn new_and_unreadable() {
    let mut bench = Bench::new(&["logphase.yml", "kong.yml"], kong("one"));
    fs::create_dir(bench.path("logphase.yml")).unwrap();
    bench.assert_taken();
    fs::write(bench.path("kong.yml"), "two").unwrap();
    bench.assert_taken();
}

/// Scenario: a pipe without a writer.
/// Guarantees: it is not read, and never counts as changed.
#[test]
fn pipes_are_left_alone() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    let mut bench = Bench::new(&["kong.yml"], |directory| {
        mkfifoat(CWD, directory.join("kong.yml"), Mode::RUSR | Mode::WUSR).unwrap();
    });
    bench.assert_quiet();
}

/// Scenario: a change while the watch waits, and a watch that is turned off.
/// Guarantees: the change ends the wait; the watch that is off never returns.
#[tokio::test]
async fn waits_for_changes() {
    let mut bench = Bench::new(&["kong.yml"], kong("one"));
    let path = bench.path("kong.yml");
    let write = async { tokio::fs::write(&path, "two").await.unwrap() };
    tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(bench.watch.changed(), write) }).await.unwrap();
    bench.watch.interval = None;
    let off = tokio::time::timeout(Duration::from_millis(50), bench.watch.changed()).await;
    assert!(off.is_err());
}
