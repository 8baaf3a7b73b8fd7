//! The command line: one module per command.

mod arguments;
mod asks;
mod check;
mod check_earlier;
mod check_input;
mod check_names;
mod config;
mod control;
mod explain;
mod format;
mod forwarder;
mod given;
mod health;
mod man;
mod playground;
mod pretty;
mod queue;
mod run;
mod sandbox;
mod schema;
mod show;
mod tap;
mod test;
mod top;
mod try_command;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use logphase_config::diagnostic::{Diagnostic, Format, codes, render_all};
use logphase_io::printable;

use crate::dry_run::Unable;
use crate::log;

use arguments::{Arguments, Command};

/// The exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: success.
    Done,
    /// 1: a transaction was rejected, a snippet failed, or messages were left undelivered.
    Incomplete,
    /// 74: a file or an address is not available.
    Unavailable,
    /// 78: the configuration or the settings are invalid.
    Configuration,
}

impl Exit {
    /// The exit code for a configuration with these errors. A file that cannot be read may be there later, so that a restart
    /// helps; the text of one does not correct itself.
    fn of(diagnostics: &[Diagnostic]) -> Self {
        let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
        if errors.all(|error| error.code == codes::UNREADABLE) { Self::Unavailable } else { Self::Configuration }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Incomplete => 1,
            Exit::Unavailable => 74,
            Exit::Configuration => 78,
        })
    }
}

/// Parses the arguments and runs the command. Invalid arguments end the process with exit code 2.
pub fn main() -> Exit {
    let exit = run_command(Arguments::parse().command);
    log::flush();
    exit
}

fn run_command(command: Command) -> Exit {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Try(arguments) => try_command::run(&arguments),
        Command::Forwarder(arguments) => forwarder::run(&arguments),
        Command::Format(arguments) => format::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Sandbox(arguments) => sandbox::run(&arguments),
        Command::Queue(arguments) => queue::run(&arguments),
        Command::Tap(arguments) => tap::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Health(arguments) => health::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "logphase", &mut script);
            say(&script);
            Exit::Done
        }
        Command::Man(arguments) => man::run(&arguments),
        Command::Playground(arguments) => playground::run(&arguments),
    }
}

/// Says why nothing can be run.
fn unable(error: &Unable) -> Exit {
    match error {
        Unable::Clock(_) => {
            complain(&format!("error: {error}\n"));
            Exit::Unavailable
        }
        Unable::Snippets(_) => {
            complain(&format!("error: {error}\n"));
            Exit::Configuration
        }
    }
}

/// Writes to standard output. Ignores a reader that has exited.
fn say(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Writes text for people to standard error, with hidden characters as escapes.
fn complain(text: &str) {
    log::write(printable::lines(text).into_owned().into_bytes());
}

/// Writes diagnostics to standard error, with colours on a terminal.
fn show(diagnostics: &[Diagnostic]) {
    if !diagnostics.is_empty() {
        log::write(render_all(diagnostics, Format::Pretty, std::io::stderr().is_terminal()).into_bytes());
    }
}
