//! `logphase sandbox`: attacks on the sandbox, and whether it held.

mod builtin;
mod child;
mod honest;
mod lines;
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
use logphase_script::Profile;
use script::{Run, Script};
use verdict::{Verdict, Walls};

/// Children at the same time: more would measure each other.
const AT_ONCE: usize = 2;

/// A script's time and memory: small, so that the table is there soon.
const DEADLINE_MS: f64 = 20.0;
const MEMORY: usize = 16 << 20;

/// Runs the scripts and prints the table.
pub(super) fn run(arguments: &Sandbox) -> Exit {
    let files = ConfigFiles { settings: arguments.settings.clone(), ..ConfigFiles::default() };
    let (mut settings, findings) = files.read_settings();
    if any_error(&findings) {
        show(&findings);
        return Exit::Configuration;
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
            if profile.is_empty() { "strict, where a script names no other".to_owned() } else { profile.to_owned() };
        say(format!(
            "profile {profile}; deadline {DEADLINE_MS} ms, memory limit {} MiB; a process for each script\n\n",
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

/// In a child: does the task that standard input names.
fn work(settings: Settings) -> Exit {
    let mut input = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut input).map_err(|error| error.to_string());
    match read.and_then(|_| serde_json::from_slice::<Task>(&input).map_err(|error| error.to_string())) {
        Ok(task) => {
            task.work(settings);
            Exit::Done
        }
        Err(error) => {
            complain(&format!("error: --worker is for this program's own use: {error}\n"));
            Exit::Unavailable
        }
    }
}

/// This program, to be run again.
struct Executable {
    path: PathBuf,
    settings: Option<PathBuf>,
}

impl Executable {
    fn find(arguments: &Sandbox) -> Result<Self, String> {
        let path = std::env::current_exe().map_err(|error| format!("cannot find this program's own file: {error}"))?;
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

/// Runs the scripts, a few at once, and shows what came of each in their order.
fn judge_all(
    scripts: &[Script],
    arguments: &Sandbox,
    settings: &Settings,
    executable: &Executable,
    mut show: impl FnMut(&Script, &Verdict),
) {
    let next = AtomicUsize::new(0);
    let (give, given) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (give, next) = (give.clone(), &next);
            scope.spawn(move || {
                while let Some((at, script)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    scripts.get(at).map(|script| (at, script))
                } {
                    let own = script.profile.unwrap_or(Profile::Strict);
                    let profile = arguments.profile.map_or(own, Profile::from);
                    let answered = child::run(executable.command(), &Task::new(script, profile));
                    let verdict = Walls::new(settings, profile == own).judge(script, answered);
                    let _ = give.send((at, verdict));
                }
            });
        }
        drop(give);
        let mut waiting: Vec<Option<Verdict>> = scripts.iter().map(|_| None).collect();
        let mut shown = 0;
        for (at, verdict) in given {
            waiting[at] = Some(verdict);
            while let Some(verdict) = waiting.get(shown).and_then(Option::as_ref) {
                show(&scripts[shown], verdict);
                shown += 1;
            }
        }
    });
}

/// The scripts of `paths`, or those built in.
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
            let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
            script::parse(&name, &text)
        })
        .collect()
}

/// A file, or every `*.lua` file below a directory, in the order of their names.
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
        if entry.extension().is_some_and(|extension| extension == "lua") || (entry.is_dir() && !entry.is_symlink()) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
