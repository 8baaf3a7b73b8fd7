//! `logphase queue`: what waits, and what was refused, in the running service or in the data directory of one that does
//! not run.

mod backend;
mod show;

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Exit, complain, control, say};
use crate::delivery::inventory::{Moved, Page, QueueInfo, QueueName, Selection};
use backend::{BackendError, QueueBackend};

/// See and move what waits in queues and what was refused for good.
///
/// Works on the running service, or on the data directory of one that does not run. A QUEUE is named as `list` does:
/// KIND-ID, or dead-letters/KIND-ID; the beginning is enough where it means only one, and so is an instance name.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Queue {
    #[command(subcommand)]
    action: Action,
    /// Logphase's own settings, which say where the service's data is; without it, logphase.yml in the current directory
    /// if there is one.
    #[arg(long, value_name = "FILE", env = "LOGPHASE_SETTINGS", global = true)]
    settings: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  logphase queue list
  logphase queue show dead-letters/http-log
  logphase queue replay dead-letters/http-log
  logphase queue replay dead-letters/kafka-log --reason 'too large' --to http-log
  logphase queue replay tcp-log-4f1c --to tcp-log-9a02      a queue whose plugin is gone
  logphase queue drop dead-letters/http-log --id 17 --id 18

Exit codes:
  0   done
  1   nothing was meant, or not everything was done
  2   wrong arguments
  74  no such queue, or the disk or the service fails
  78  the settings are wrong";

#[derive(Debug, Subcommand)]
enum Action {
    /// List queues and dead letters: messages, bytes, the age of the oldest, and what goes on.
    List {
        /// One line of JSON per queue.
        #[arg(long)]
        json: bool,
    },
    /// Print messages, from the oldest; nothing is taken. Those refused for good with the reason.
    Show {
        /// The queue.
        queue: String,
        /// Messages at most.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u64,
        /// Messages to leave out, from the oldest.
        #[arg(long, value_name = "N", default_value_t = 0)]
        offset: u64,
        /// One line of JSON per message: id, time, reason, and message, text or base64.
        #[arg(long)]
        json: bool,
    },
    /// Send messages again: put them at the end of their plugin's queue, or of another's.
    ///
    /// Each is safe there before it leaves where it was; a crash in between may have it sent twice.
    Replay {
        /// Dead letters, or the queue of a plugin that is gone.
        queue: String,
        /// The plugin to send them to: as `list` names its queue, or its instance name.
        #[arg(long, value_name = "PLUGIN")]
        to: Option<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Give messages up, for ever.
    Drop {
        /// The queue.
        queue: String,
        /// All of them.
        #[arg(long, required_unless_present_any = ["ids", "reason", "limit"], conflicts_with_all = ["ids", "reason", "limit"])]
        all: bool,
        #[command(flatten)]
        which: Which,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
}

/// Which messages; all without any of these.
#[derive(Debug, Args)]
struct Which {
    /// The message with this id, as `show` prints it; may be given more than once.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<u64>,
    /// Messages with this text in their reason.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// So many at most, from the oldest.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Which {
    fn selection(&self) -> Selection {
        let ids = (!self.ids.is_empty()).then(|| self.ids.clone());
        Selection { ids, reason: self.reason.clone(), limit: self.limit }
    }
}

/// Does what is asked.
pub(super) fn run(arguments: &Queue) -> Exit {
    let (settings, runtime) = match control::prepare(arguments.settings.as_deref()) {
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
            Ok(tell(moved, &format!("put into {whose}"), later))
        }
        Action::Drop { queue, which, yes, .. } => {
            let name = find(queue)?;
            let chosen = which.selection();
            if !yes && !confirm(known, &name, &chosen) {
                return Ok(Exit::Incomplete);
            }
            Ok(tell(backend.drop_messages(&name, chosen).await?, "dropped", ""))
        }
    }
}

/// Says what was done.
fn tell(moved: Moved, what: &str, later: &str) -> Exit {
    let Moved { messages, left } = moved;
    complain(&format!(
        "{messages} {} {what}, {left} left{later}\n",
        if messages == 1 { "message" } else { "messages" }
    ));
    if messages > 0 { Exit::Done } else { Exit::Incomplete }
}

/// Asks on the terminal; without one, the option has to be given.
fn confirm(known: &[QueueInfo], name: &QueueName, chosen: &Selection) -> bool {
    if !std::io::stdin().is_terminal() {
        complain("error: messages that are dropped are gone: give --yes if you mean it\n");
        return false;
    }
    let all = known.iter().find(|info| info.name == name.to_string()).map_or(0, |info| info.messages);
    let which = if *chosen == Selection::default() { format!("all {all}") } else { "the chosen".to_owned() };
    complain(&format!("Drop {which} messages of {name} for ever? [y/N] "));
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    matches!(answer.trim(), "y" | "Y" | "yes")
}
