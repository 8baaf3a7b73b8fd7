//! Runs each script in a child process, so that a crash or a hang is reported as an escape.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::script::Script;
use super::worker::Report;
use super::{Run, Settings};
use logphase_script::Profile;

/// How long a child may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The task that a child reads from standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    runs: Vec<Run>,
    strict: bool,
    kong_quirks: bool,
    /// The phase of the script's code, if it is one before the log phase.
    phase: Option<String>,
}

impl Task {
    /// The task of running `script` in `profile`.
    pub(super) fn new(script: &Script, profile: Profile) -> Self {
        let runs = script.runs.clone();
        let phase = script.phase.map(|phase| phase.name().to_owned());
        Self { runs, strict: profile == Profile::Strict, kong_quirks: script.kong_quirks, phase }
    }

    /// In the child: runs the task, and writes the report to standard output.
    pub(super) fn work(self, mut settings: Settings) {
        settings.untrusted_lua = if self.strict { Profile::Strict } else { Profile::Sandbox };
        settings.kong_quirks |= self.kong_quirks;
        settings.replay_phases = self.phase.iter().cloned().collect();
        let report = super::worker::work(self.runs, settings);
        super::super::say(&serde_json::to_vec(&report).unwrap_or_default());
    }
}

/// Runs `task` in a child process.
///
/// # Errors
/// How the child failed: it crashed, hung, or wrote no valid report.
pub(super) fn run(mut command: Command, task: &Task) -> Result<Report, String> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cannot start a process: {error}"))?;
    let input = serde_json::to_vec(task).map_err(|error| error.to_string())?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("the process has no pipes".to_owned());
    };
    // A child that has crashed does not read; its exit status is checked below.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let (stdout, stderr) = (read_all(stdout), read_all(stderr));
    let ended = wait(&mut child);
    let _ = writer.join();
    let (stdout, stderr) = (stdout.recv().unwrap_or_default(), stderr.recv().unwrap_or_default());
    let Some(status) = ended else { return Err(format!("hung: no answer within {TIMEOUT:?}")) };
    if !status.success() {
        return Err(format!("the process crashed ({status}){}", last_line(&stderr)));
    }
    serde_json::from_slice(&stdout).map_err(|error| format!("no answer ({error}){}", last_line(&stderr)))
}

fn read_all(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Waits for the child to exit, and kills it after [`TIMEOUT`].
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < TIMEOUT {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    line.map(|line| format!(": {}", line.chars().take(200).collect::<String>())).unwrap_or_default()
}
