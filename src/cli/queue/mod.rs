//! `logphase queue`: waiting messages and dead letters, of the running service or of a data directory.

mod backend;
mod show;

use logphase_io::count::counted;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Exit, complain, control, say};
use crate::delivery::inventory::{Moved, Page, QueueInfo, QueueName, Selection};
use backend::{BackendError, QueueBackend};

/// List, show, resend and drop waiting messages and dead letters.
///
/// Works with the running service, or directly on the data directory if no service runs. `list` prints the names of
/// queues: KIND-ID, or dead-letters/KIND-ID. A unique prefix or an instance name also works.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Queue {
    #[command(subcommand)]
    action: Action,
    /// Settings file, which names the service's data directory; default: logphase.yml in the current directory, if
    /// present.
    #[arg(long, value_name = "FILE", env = "LOGPHASE_SETTINGS", global = true)]
    settings: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  logphase queue list
  logphase queue show dead-letters/http-log
  logphase queue replay dead-letters/http-log
  logphase queue replay dead-letters/kafka-log --reason 'too large' --to http-log
  logphase queue replay tcp-log-4f1c --to tcp-log-9a02      the queue of a removed plugin
  logphase queue salvage tcp-log-4f1c                       what is intact in damaged files
  logphase queue drop dead-letters/http-log --id 17 --id 18

Exit codes:
  0   success
  1   no message matched, or the command was not confirmed
  2   the command line is invalid
  74  there is no such queue, or the disk or the service fails
  78  the settings are invalid";

const LIST_HELP: &str = "\
Examples:
  logphase queue list
  logphase queue list --json | jq -r 'select(.messages > 0) | .name'";

const SHOW_HELP: &str = "\
Examples:
  logphase queue show dead-letters/http-log
  logphase queue show dead-letters/http-log --limit 100 --offset 20
  logphase queue show dead-letters/http-log --json | jq -r '[.id, .reason] | @tsv'";

const REPLAY_HELP: &str = "\
Examples:
  logphase queue replay dead-letters/http-log
  logphase queue replay dead-letters/http-log --id 17 --id 18
  logphase queue replay dead-letters/kafka-log --reason 'too large' --to http-log
  logphase queue replay tcp-log-4f1c --to tcp-log-9a02      the queue of a removed plugin";

const SALVAGE_HELP: &str = "\
Examples:
  logphase queue list                     names the queues with damaged files
  logphase queue salvage tcp-log-4f1c";

const DROP_HELP: &str = "\
Examples:
  logphase queue drop dead-letters/http-log --id 17 --id 18
  logphase queue drop dead-letters/http-log --reason 'HTTP 413' --yes
  logphase queue drop tcp-log-4f1c --all";

#[derive(Debug, Subcommand)]
enum Action {
    /// List queues and dead letters: messages, bytes, age of the oldest message, and activity.
    #[command(after_help = LIST_HELP)]
    List {
        /// Print one line of JSON per queue.
        #[arg(long)]
        json: bool,
    },
    /// Print messages, oldest first, and dead letters with the reason; removes nothing.
    #[command(after_help = SHOW_HELP)]
    Show {
        /// The queue, or dead letters: a name in `list`, or what only that name begins with.
        queue: String,
        /// Print at most this many messages.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u64,
        /// Skip this many of the oldest messages.
        #[arg(long, value_name = "N", default_value_t = 0)]
        offset: u64,
        /// Print one line of JSON per message: id, time, reason, and message, text or base64.
        #[arg(long)]
        json: bool,
    },
    /// Resend messages: append them to their plugin's queue, or to another plugin's.
    ///
    /// A message is safe at the target before it is removed from the source; a crash in between can duplicate it.
    #[command(after_help = REPLAY_HELP)]
    Replay {
        /// Dead letters, or the queue of a removed plugin.
        queue: String,
        /// Plugin to send them to: its queue's name in `list`, or its instance name.
        #[arg(long, value_name = "PLUGIN")]
        to: Option<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Put the intact messages of damaged files back into their queue.
    ///
    /// Logphase sets files aside (NAME.seg.unreadable) that are damaged or belong to another queue. This command reads
    /// them message by message, appends the intact ones to the queue, and removes the file when they are safe there.
    /// Messages that were delivered before the damage come again.
    #[command(after_help = SALVAGE_HELP)]
    Salvage {
        /// The queue, or dead letters: a name in `list`, or what only that name begins with.
        queue: String,
    },
    /// Delete messages permanently.
    #[command(after_help = DROP_HELP)]
    Drop {
        /// The queue, or dead letters: a name in `list`, or what only that name begins with.
        queue: String,
        /// Drop all messages.
        #[arg(long, required_unless_present_any = ["ids", "reason", "limit"], conflicts_with_all = ["ids", "reason", "limit"])]
        all: bool,
        #[command(flatten)]
        which: Which,
        /// Do not ask for confirmation.
        #[arg(long, short)]
        yes: bool,
    },
}

/// Selects messages; without any of these options, all messages.
#[derive(Debug, Args)]
struct Which {
    /// Select the message with this id, as printed by `show`; repeatable.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<u64>,
    /// Select messages with this text in their reason.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Select at most this many messages, oldest first.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Which {
    fn selection(&self) -> Selection {
        let ids = (!self.ids.is_empty()).then(|| self.ids.clone());
        Selection { ids, reason: self.reason.clone(), limit: self.limit }
    }
}

/// Runs the action.
pub(super) fn run(arguments: &Queue) -> Exit {
    let (settings, runtime) = match control::prepare_and_locate(arguments.settings.as_deref()) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let done = runtime.block_on(async {
        let (backend, known) = QueueBackend::open(&settings.data_dir).await?;
        act(&backend, &known, &arguments.action).await
    });
    done.unwrap_or_else(|error| {
        complain(&format!("error: {error}\n"));
        Exit::Unavailable
    })
}

async fn act(backend: &QueueBackend, known: &[QueueInfo], action: &Action) -> Result<Exit, BackendError> {
    let find = |queue: &str| QueueName::find(queue, known);
    match action {
        Action::List { json } => {
            say(show::list(known, *json).as_bytes());
            if let (QueueBackend::Stopped(queues), false) = (backend, *json) {
                complain(&format!("no service runs; looked in {}\n", queues.data_dir().display()));
            }
            Ok(Exit::Done)
        }
        Action::Show { queue, limit, offset, json } => {
            let name = find(queue)?;
            let messages = backend.show(&name, Page { offset: *offset, limit: *limit }).await?;
            say(show::messages(&messages, *json).as_bytes());
            if !json {
                complain(&show::rest(known, &name, *offset, messages.len()));
            }
            Ok(Exit::Done)
        }
        Action::Replay { queue, to, which } => {
            let name = find(queue)?;
            let target = backend.target(to.as_deref(), known)?;
            let moved = backend.replay(&name, which.selection(), target).await?;
            let whose =
                to.as_ref().map_or_else(|| "their plugin's queue".to_owned(), |to| format!("the queue of {to}"));
            let later = if backend.is_live() { "" } else { "; the next run delivers them" };
            Ok(report(moved, &format!("put into {whose}"), later))
        }
        Action::Salvage { queue } => {
            let files = backend.salvage(&find(queue)?).await?;
            complain(&show::salvaged(&files));
            Ok(if files.iter().any(|file| file.messages > 0) { Exit::Done } else { Exit::Incomplete })
        }
        Action::Drop { queue, which, yes, .. } => {
            let name = find(queue)?;
            let chosen = which.selection();
            if !yes && !confirm(known, &name, &chosen) {
                return Ok(Exit::Incomplete);
            }
            Ok(report(backend.drop_messages(&name, chosen).await?, "dropped", ""))
        }
    }
}

/// Prints how many messages were moved or dropped.
fn report(moved: Moved, what: &str, later: &str) -> Exit {
    let Moved { messages, left } = moved;
    complain(&format!("{} {what}, {left} left{later}\n", counted(messages, "message")));
    if messages > 0 { Exit::Done } else { Exit::Incomplete }
}

/// Asks for confirmation on the terminal. Fails without a terminal.
fn confirm(known: &[QueueInfo], name: &QueueName, chosen: &Selection) -> bool {
    if !std::io::stdin().is_terminal() {
        complain("error: drop deletes messages permanently and standard input is not a terminal: confirm with --yes\n");
        return false;
    }
    let all = known.iter().find(|info| info.name == name.to_string()).map_or(0, |info| info.messages);
    let which = match (*chosen == Selection::default(), all) {
        (true, 1) => "the only message".to_owned(),
        (true, _) => format!("all {}", counted(all, "message")),
        (false, _) => "the selected messages".to_owned(),
    };
    complain(&format!("Drop {which} of {name} permanently? [y/N] "));
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    matches!(answer.trim(), "y" | "Y" | "yes")
}
