use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A watch that is asked by hand.
struct Bench {
    directory: TempDir,
    watch: Watch,
}

impl Bench {
    /// One that watches `names`, which `make` has made.
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

    /// Looks once; whether something is to be tried.
    fn look(&mut self) -> bool {
        let now = Contents::read(&self.watch.files);
        self.watch.note(now)
    }

    /// Looks twice, as something that is written at once needs; then it counts as tried.
    #[track_caller]
    fn assert_taken(&mut self) {
        assert!(!self.look(), "one look is not enough");
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

/// Scenario: a file that is written in place, one that is renamed over it, one that is removed and made anew, the old one
/// again. Guarantees: each is noticed, once.
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

/// Scenario: a volume of the kubelet's: `kong.yml -> ..data/kong.yml`, `..data -> ..1`; the link `..data` is exchanged for
/// one to `..2`, and `..1` removed; then for `..3`, which holds the same.
/// Guarantees: the first is noticed, the second is not.
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

/// Scenario: a file is written anew with what is in it, and gets another time.
/// Guarantees: that is no change.
#[test]
fn touched_is_not_changed() {
    let mut bench = Bench::new(&["kong.yml"], kong("one"));
    fs::write(bench.path("kong.yml"), "one").unwrap();
    fs::File::options().write(true).open(bench.path("kong.yml")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    bench.assert_quiet();
}

/// Scenario: a writer that needs three turns, looked at after each; then one that takes it all back.
/// Guarantees: nothing half is tried; what was taken back is no change.
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

/// Scenario: two files and a settings file that is not there; it comes, changes, goes; one of the two changes; it becomes a
/// directory.
/// Guarantees: what comes and what changes is noticed; what goes away or cannot be read is waited for.
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

/// Scenario: a file that stays away, and comes back. Guarantees: it is told when the patience is over, once; what is there
/// is tried then, once, as it may be named no longer; when it comes back, it is something new.
#[test]
fn away_for_long() {
    let mut bench = Bench::new(&["kong.yml"], kong("one"));
    fs::remove_file(bench.path("kong.yml")).unwrap();
    let told = |bench: &Bench| bench.watch.away.as_ref().is_some_and(|away| away.told);
    assert!(!bench.look() && !told(&bench));
    if let Some(away) = &mut bench.watch.away {
        away.since = away.since.checked_sub(PATIENCE).expect("the machine has been up for longer");
    }
    assert!(!bench.look() && told(&bench));
    assert!(bench.look(), "what is there is tried");
    bench.watch.tried = Contents::read(&bench.watch.files);
    bench.assert_quiet();
    fs::write(bench.path("kong.yml"), "two").unwrap();
    bench.assert_taken();
    assert!(bench.watch.away.is_none());
}

/// Scenario: a file that was not there comes, and cannot be read (it is a folder).
/// Guarantees: it is tried, so that the mistake is shown, and other changes are not held up.
#[test]
fn what_comes_and_cannot_be_read() {
    let mut bench = Bench::new(&["logphase.yml", "kong.yml"], kong("one"));
    fs::create_dir(bench.path("logphase.yml")).unwrap();
    bench.assert_taken();
    fs::write(bench.path("kong.yml"), "two").unwrap();
    bench.assert_taken();
}

/// Scenario: a pipe that nobody writes to. Guarantees: it is not read, and never something new.
#[test]
fn pipes_are_left_alone() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    let mut bench = Bench::new(&["kong.yml"], |directory| {
        mkfifoat(CWD, directory.join("kong.yml"), Mode::RUSR | Mode::WUSR).unwrap();
    });
    bench.assert_quiet();
}

/// Scenario: a change while the watch waits by itself, and a watch that is turned off.
/// Guarantees: the first ends the wait, the second never does.
#[tokio::test]
async fn waits_by_itself() {
    let mut bench = Bench::new(&["kong.yml"], kong("one"));
    let path = bench.path("kong.yml");
    let write = async { tokio::fs::write(&path, "two").await.unwrap() };
    tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(bench.watch.changed(), write) }).await.unwrap();
    bench.watch.interval = None;
    let off = tokio::time::timeout(Duration::from_millis(50), bench.watch.changed()).await;
    assert!(off.is_err());
}
