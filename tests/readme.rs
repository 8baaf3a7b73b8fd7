//! README.md is accurate: the commands of its tour run, one after another, and print what it shows.
//!
//! `BLESS=1 cargo test --test main readme` writes the output of the commands and the table of settings to README.md;
//! review the change before you commit it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use parking_lot::Mutex;

use logphase::settings::variables;
use logphase_config::diagnostic::SourceFile;
use logphase_config::document::{self, Node};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Two tests write README.md when blessing.
static README: Mutex<()> = Mutex::new(());

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// The part of `text` between two HTML comments.
fn between(text: &str, name: &str) -> Range<usize> {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let start = text.find(&open).unwrap_or_else(|| panic!("README.md has no {open}")) + open.len();
    start..text.find(&close).unwrap_or_else(|| panic!("README.md has no {close}"))
}

/// One command of the tour.
struct Step {
    script: String,
    /// The command stays in the foreground; later ones are for another terminal.
    stays: bool,
    /// Where README.md shows the command's output.
    shown: Option<Range<usize>>,
}

/// The fenced blocks of the tour: `sh` is a command; a `text` or `json` block after it is its output.
fn steps(readme: &str) -> Vec<Step> {
    let tour = between(readme, "tour");
    let (mut steps, mut stays, mut at) = (Vec::<Step>::new(), false, tour.start);
    let mut fence: Option<(&str, usize)> = None;
    for line in readme[tour].split_inclusive('\n') {
        let end = at + line.len();
        match (fence, line.trim_end()) {
            (None, "<!-- stays -->") => stays = true,
            (None, start) if start.starts_with("```") => fence = Some((&start[3..], end)),
            (Some(("sh", start)), "```") => {
                let script = readme[start..at].to_owned();
                steps.push(Step { script, stays: std::mem::take(&mut stays), shown: None });
                fence = None;
            }
            (Some((_, start)), "```") => {
                let step = steps.last_mut().expect("output stands after its command");
                assert!(step.shown.replace(start..at).is_none(), "two outputs of `{}`", step.script);
                fence = None;
            }
            _ => {}
        }
        at = end;
    }
    assert!(steps.len() > 5, "only {} commands", steps.len());
    steps
}

/// A folder that looks like the project after `make run`, with the program under test.
struct Checkout {
    folder: TempDir,
    ports: Vec<(&'static str, u16)>,
}

impl Checkout {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let programs = folder.path().join("target/release");
        std::fs::create_dir_all(&programs).expect("a folder can be made");
        symlink(env!("CARGO_BIN_EXE_logphase"), programs.join("logphase")).expect("a link can be made");
        symlink(root().join("examples"), folder.path().join("examples")).expect("a link can be made");
        let free = |_| TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let listeners: Vec<_> = (0..5).map(free).collect();
        let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
        let ports = ["9080", "9081", "9082", "8011", "8002"].into_iter().zip(listeners.iter().map(port)).collect();
        Self { folder, ports }
    }

    /// Replaces the ports in `text` by free ones.
    fn real(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (port, real)| text.replace(port, &real.to_string()))
    }

    fn shown(&self, text: &str) -> String {
        // `logphase test` prints its run time.
        let lines = text.split_inclusive('\n').map(|line| match line.strip_suffix(" ms)\n") {
            Some(timed) => format!("{} (5 ms)\n", timed.rsplit_once(" (").expect("a time is in brackets").0),
            None => line.to_owned(),
        });
        let text: String = lines.collect();
        self.ports.iter().fold(text, |text, (port, real)| text.replace(&real.to_string(), port))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOGPHASE_")) {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).env("LOGPHASE_DATA_DIR", ".data").stdin(Stdio::null());
        command
    }

    /// Runs all steps in one shell and returns the output of each.
    fn walk(&self, readme: &str, steps: &[Step]) -> Vec<String> {
        let mut script = String::from(
            // Each job has its own process group, which ends with the shell. Bash would report that.
            "set -m\ntrap 'exec 2>/dev/null; kill -TERM -- $(jobs -p | sed s/^/-/); wait' EXIT\n",
        );
        for (number, step) in steps.iter().enumerate() {
            let file = format!("step-{number}");
            std::fs::write(self.folder.path().join(format!("{file}.sh")), self.real(&step.script))
                .expect("a file can be written");
            if step.stays {
                let address = step.script.split_once("LOGPHASE_HTTP_LISTEN=").expect("it says where it listens").1;
                let address = self.real(address.split(' ').next().expect("a split has a first part"));
                writeln!(script, ". ./{file}.sh >{file}.out 2>&1 &").expect("a string takes all");
                writeln!(
                    script,
                    "until curl -so {file}.up http://{address}/; do kill -0 $! || break; sleep 0.05; done"
                )
                .expect("a string takes all");
            } else if let (true, Some(shown)) = (step.script.starts_with("tail "), &step.shown) {
                // A message reaches the file shortly after its transaction is answered; a person is slower than that.
                std::fs::write(self.folder.path().join(format!("{file}.expected")), self.real(&readme[shown.clone()]))
                    .expect("a file can be written");
                writeln!(
                    script,
                    "for _ in $(seq 100); do . ./{file}.sh >{file}.out 2>&1; cmp -s {file}.out {file}.expected && break; \
                     sleep 0.05; done"
                )
                .expect("a string takes all");
            } else {
                writeln!(script, ". ./{file}.sh >{file}.out 2>&1 || echo \"{file} failed\" >&2")
                    .expect("a string takes all");
            }
        }
        let output = self.command("bash").args(["-c", &script]).output().expect("bash can be run");
        let file = |number: usize| self.shown(&read(&self.folder.path().join(format!("step-{number}.out"))));
        let printed: Vec<_> = (0..steps.len()).map(file).collect();
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(failed.is_empty(), "{failed}\n{}", printed.join("\n---\n"));
        printed
    }
}

/// `make run` without the build.
struct Demonstration {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Demonstration {
    fn start(checkout: &Checkout) -> Self {
        let mut command = checkout.command("examples/quickstart/run.sh");
        command
            .env("LOGPHASE_HTTP_LISTEN", checkout.real("127.0.0.1:9080"))
            .env("LOGPHASE_PAGE_LISTEN", checkout.real("127.0.0.1:8002"))
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the script can be run");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, output }
    }

    /// The output until the service is left running.
    fn shows(&mut self) -> String {
        let mut shown = String::new();
        while !shown.contains("Ctrl-C ends it") {
            let length = self.output.read_line(&mut shown).expect("it prints UTF-8");
            assert_ne!(length, 0, "it ended before the service was up:\n{shown}");
        }
        shown
    }
}

impl Drop for Demonstration {
    fn drop(&mut self) {
        // Fails only if the process has already ended.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Scenario: `make run` without its build, and then the tour's commands.
/// Guarantees: the service starts and shows delivered messages; every command succeeds and prints what README.md shows;
/// when the demonstration ends, no service is left behind.
#[test]
fn tour_works() {
    let _turn = README.lock();
    let readme = read(&root().join("README.md"));
    let steps = steps(&readme);
    let checkout = Checkout::new();
    let mut demonstration = Demonstration::start(&checkout);
    let shown = demonstration.shows();
    assert!(shown.contains("{\"accepted\": 3}") && shown.contains("\"client_kind\""), "{shown}");
    let printed = checkout.walk(&readme, &steps);
    if blessing() {
        bless(readme, &steps, &printed);
    } else {
        for (step, printed) in steps.iter().zip(&printed) {
            let expected = step.shown.clone().map(|shown| readme[shown].trim_end());
            if let Some(expected) = expected {
                assert_eq!(printed.trim_end(), expected, "{}", step.script);
            }
        }
    }
    kill_process(Pid::from_child(&demonstration.child), Signal::TERM).expect("it is still there");
    let mut rest = String::new();
    // The service shares the output, so the end of the output is the end of both.
    demonstration.output.read_to_string(&mut rest).expect("it prints UTF-8");
    assert_eq!(demonstration.child.wait().expect("it is ours").code(), Some(143), "{rest}");
}

fn bless(mut readme: String, steps: &[Step], printed: &[String]) {
    for (step, printed) in steps.iter().zip(printed).rev() {
        if let Some(shown) = step.shown.clone() {
            readme.replace_range(shown, &format!("{}\n", printed.trim_end()));
        }
    }
    std::fs::write(root().join("README.md"), readme).expect("README.md can be written");
}

/// Scenario: README.md's table of settings.
/// Guarantees: it has every setting with its variable and its default.
#[test]
fn settings_table_is_whole() {
    let _turn = README.lock();
    let mut readme = read(&root().join("README.md"));
    let range = between(&readme, "settings");
    let table = settings_table();
    if blessing() {
        readme.replace_range(range, &table);
        std::fs::write(root().join("README.md"), readme).expect("README.md can be written");
    } else {
        assert_eq!(&readme[range], table);
    }
}

/// The expected table.
fn settings_table() -> String {
    let rows: Vec<String> = settings_rows().iter().map(SettingsRow::line).collect();
    format!("\n| setting | variable | default | |\n|---|---|---|---|\n{}\n", rows.concat())
}

/// A setting as tables of the documentation show it.
pub struct SettingsRow {
    /// Its name, with dots.
    pub path: String,
    variable: String,
    default: String,
    about: String,
}

impl SettingsRow {
    /// The row, with its line end.
    pub fn line(&self) -> String {
        let Self { path, variable, default, about } = self;
        format!("| `{path}` | `{variable}` | {default} | {about} |\n")
    }
}

/// All settings. The defaults are those of `examples/logphase.yml`, which another test checks.
pub fn settings_rows() -> Vec<SettingsRow> {
    let file = SourceFile::new("logphase.yml", read(&root().join("examples/logphase.yml")));
    let (defaults, diagnostics) = document::parse(&file, None);
    assert_eq!(diagnostics, []);
    let defaults = defaults.expect("a file without errors has a root");
    let row = |(variable, path, about): (String, String, _)| {
        let value = path.split('.').try_fold(&defaults, |node: &Node, name| node.get(name));
        let shown = match value.map(Node::to_json) {
            None if ["data_dir", "workers"].contains(&path.as_str()) => "by the machine".to_owned(),
            None => "none".to_owned(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(Value::Array(items)) => {
                let items: Vec<_> = items.iter().map(|item| item.as_str().expect("lists are of strings")).collect();
                if items.is_empty() { "none".to_owned() } else { format!("`{}`", items.join(",")) }
            }
            Some(Value::Object(members)) if members.is_empty() => "none".to_owned(),
            Some(other) => format!("`{other}`"),
        };
        SettingsRow { path, variable, default: shown, about: String::from(about) }
    };
    variables().into_iter().map(row).collect()
}
