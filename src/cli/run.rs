//! `logphase run`.

use logphase_io::count::{counted, were};
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use super::arguments::Run;
use super::{Exit, complain, show};
use crate::input::Progress;
use crate::service::launch::{Console, Drained, Ended, Launch, LaunchError};

/// Runs the service until a signal stops it, or processes standard input to its end.
pub(super) fn run(arguments: &Run) -> Exit {
    let launch = match Launch::read(arguments.files.clone().into()) {
        Ok(launch) => launch,
        Err(diagnostics) => {
            show(&diagnostics);
            return Exit::of(&diagnostics);
        }
    };
    show(launch.warnings());
    let bar = if arguments.stdin { progress_bar() } else { ProgressBar::hidden() };
    let progress = |progress: &Progress| {
        bar.set_position(progress.bytes);
        bar.set_message(counted(progress.accepted, "transaction"));
    };
    let console = Console { diagnostics: &show, progress: &progress };
    let ended = if arguments.stdin {
        launch.drain_stdin(&arguments.mapping, arguments.match_routes, &console).map(|drained| {
            bar.finish_and_clear();
            report(&drained)
        })
    } else {
        launch.serve(&console).map(Exit::from)
    };
    ended.unwrap_or_else(refuse)
}

impl From<Ended> for Exit {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Complete => Self::Done,
            Ended::Incomplete => Self::Incomplete,
        }
    }
}

fn refuse(error: LaunchError) -> Exit {
    match error {
        LaunchError::Configuration(diagnostics) => {
            show(&diagnostics);
            Exit::of(&diagnostics)
        }
        LaunchError::Unavailable(message) => {
            complain(&format!("error: {message}\n"));
            Exit::Unavailable
        }
    }
}

/// Prints the results of standard input.
fn report(drained: &Drained) -> Exit {
    let mut exit = drained.ended.into();
    if drained.dropped > 0 {
        let (messages, were) = (counted(drained.dropped, "message"), were(drained.dropped));
        complain(&format!("{messages} {were} dropped: refused permanently by their destinations\n"));
        exit = Exit::Incomplete;
    }
    let Some(summary) = &drained.summary else { return Exit::Incomplete };
    for rejected in &summary.rejected {
        complain(&format!("line {}: {}\n", rejected.line, rejected.reason));
    }
    let printed = summary.rejected.len() as u64;
    if summary.rejected_total > printed {
        complain(&format!("and {}\n", counted(summary.rejected_total - printed, "more line")));
    }
    if let Some(error) = &summary.error {
        complain(&format!("error: cannot read standard input: {error}\n"));
    }
    let [accepted, rejected] =
        [(summary.accepted, "transaction"), (summary.rejected_total, "line")].map(|(n, noun)| counted(n, noun));
    complain(&format!("{accepted} accepted, {rejected} rejected\n"));
    if summary.is_complete() { exit } else { Exit::Incomplete }
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {bytes} read, {msg} ({bytes_per_sec}) {elapsed}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
