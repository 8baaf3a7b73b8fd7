//! `logphase sandbox`: runs attack scripts in the sandbox, and reports which of them it contains.

mod builtin;
mod child;
mod honest;
mod log_capture;
mod script;
mod table;
mod verdict;
mod worker;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::arguments::Sandbox;
use super::{Exit, complain, say, show};
use crate::service::ConfigFiles;
use crate::settings::Settings;
use child::Task;
use logphase_config::diagnostic::any_error;
use logphase_io::file::{self, Accept, MAX_TEXT};
use logphase_script::Profile;
use script::{Run, Script};
use verdict::{RunLimits, Verdict};

/// Child processes that run at the same time. More would distort the measured times.
const MAX_CHILDREN: usize = 2;
/// How often a script runs that was over its time. What a hypervisor takes from the machine counts as CPU time of a thread, tens
/// of milliseconds at worst; a script that escapes its deadline does so each time.
const MAX_ATTEMPTS: usize = 3;

/// The limits of a script: low, so that the command finishes soon.
const DEADLINE_MS: f64 = 20.0;
const MEMORY: usize = 16 << 20;

/// Runs the scripts and prints the table.
pub(super) fn run(arguments: &Sandbox) -> Exit {
    let files = ConfigFiles { settings: arguments.settings.clone(), ..ConfigFiles::default() };
    let (mut settings, findings) = files.read_settings();
    if any_error(&findings) {
        show(&findings);
        return Exit::of(&findings);
    }
    settings.lua.deadline_ms = DEADLINE_MS;
    settings.lua.memory_limit = MEMORY;
    if arguments.worker {
        return work(settings);
    }
    let scripts = match scripts(&arguments.paths) {
        Ok(scripts) => scripts,
        Err(message) => {
            complain(&format!("error: {message}\n"));
            return Exit::Unavailable;
        }
    };
    if !arguments.json {
        let profile = arguments.profile.map_or("", |profile| profile.name());
        let profile =
            if profile.is_empty() { "strict, or the one that a script names".to_owned() } else { profile.to_owned() };
        say(format!(
            "profile {profile}; deadline {DEADLINE_MS} ms; memory limit {} MiB; one process per script\n\n",
            MEMORY >> 20
        )
        .as_bytes());
    }
    match Executable::find(arguments) {
        Ok(executable) => print(&scripts, arguments, &settings, &executable),
        Err(message) => {
            complain(&format!("error: {message}\n"));
            Exit::Unavailable
        }
    }
}

/// In a child process: runs the task on standard input.
fn work(settings: Settings) -> Exit {
    let mut input = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut input).map_err(|error| error.to_string());
    match read.and_then(|_| serde_json::from_slice::<Task>(&input).map_err(|error| error.to_string())) {
        Ok(task) => {
            task.work(settings);
            Exit::Done
        }
        Err(error) => {
            complain(&format!("error: --worker is for internal use: {error}\n"));
            Exit::Unavailable
        }
    }
}

/// The path of this program and the arguments of its child processes.
struct Executable {
    path: PathBuf,
    settings: Option<PathBuf>,
}

impl Executable {
    fn find(arguments: &Sandbox) -> Result<Self, String> {
        let path = std::env::current_exe().map_err(|error| format!("cannot find the logphase executable: {error}"))?;
        Ok(Self { path, settings: arguments.settings.clone() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(["sandbox", "--worker"]);
        if let Some(settings) = &self.settings {
            command.arg("--settings").arg(settings);
        }
        command
    }
}

fn print(scripts: &[Script], arguments: &Sandbox, settings: &Settings, executable: &Executable) -> Exit {
    let width = table::width(scripts);
    if !arguments.json {
        say(table::head(width).as_bytes());
    }
    let mut escaped = 0;
    judge_all(scripts, arguments, settings, executable, |script, verdict| {
        escaped += usize::from(!verdict.escapes.is_empty());
        let line = if arguments.json { table::json(script, verdict) } else { table::line(script, verdict, width) };
        say(line.as_bytes());
    });
    if !arguments.json {
        say(format!("\n{}", table::summary(scripts.len() - escaped, escaped)).as_bytes());
    }
    if escaped == 0 { Exit::Done } else { Exit::Incomplete }
}

/// Runs the scripts, [`MAX_CHILDREN`] at a time, and calls `show` with each verdict in the order of the scripts.
fn judge_all(
    scripts: &[Script],
    arguments: &Sandbox,
    settings: &Settings,
    executable: &Executable,
    mut show: impl FnMut(&Script, &Verdict),
) {
    let next = AtomicUsize::new(0);
    let (sender, verdicts) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..MAX_CHILDREN {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((index, script)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    scripts.get(index).map(|script| (index, script))
                } {
                    let intended = script.profile.unwrap_or(Profile::Strict);
                    let profile = arguments.profile.map_or(intended, Profile::from);
                    let limits = RunLimits::new(settings, profile == intended);
                    let run = || child::run(executable.command(), &Task::new(script, profile));
                    let mut report = run();
                    for _ in 1..MAX_ATTEMPTS {
                        if report.as_ref().is_ok_and(|report| limits.is_slow(report)) {
                            report = run();
                        }
                    }
                    let verdict = limits.judge(script, report);
                    let _ = sender.send((index, verdict));
                }
            });
        }
        drop(sender);
        let mut finished: Vec<Option<Verdict>> = scripts.iter().map(|_| None).collect();
        let mut shown = 0;
        for (index, verdict) in verdicts {
            finished[index] = Some(verdict);
            while let Some(verdict) = finished.get(shown).and_then(Option::as_ref) {
                show(&scripts[shown], verdict);
                shown += 1;
            }
        }
    });
}

/// The scripts in `paths`, or the built-in ones.
fn scripts(paths: &[PathBuf]) -> Result<Vec<Script>, String> {
    if paths.is_empty() {
        return builtin::SCRIPTS.iter().map(|(name, text)| script::parse(name, text)).collect();
    }
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(format!("no *.lua files in {}", names.join(", ")));
    }
    files
        .iter()
        .map(|path| {
            let name = path.display().to_string();
            let text = file::read_to_string(path, Accept::Streams, MAX_TEXT)
                .map_err(|error| format!("cannot read {name}: {error}"))?;
            script::parse(&name, &text)
        })
        .collect()
}

/// Adds a file, or every `*.lua` file below a directory, sorted by name.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(unreadable)?;
    let mut entries =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    entries.sort();
    for entry in entries {
        let is_script = entry.is_file() && entry.extension().is_some_and(|extension| extension == "lua");
        if is_script || (entry.is_dir() && !entry.is_symlink()) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
