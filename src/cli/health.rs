//! `logphase health`: the health check of containers, which have no curl.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use logphase_io::printable;
use tokio::time::timeout;

use super::control::{ControlClient, prepare};
use super::{Exit, complain, say};

/// Say whether the running service accepts transactions.
///
/// Asks the service that uses the data directory of the settings, through its control socket, so that it also works without a status
/// listener and in a container without other programs.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Health {
    /// Settings file; default: logphase.yml in the current directory, if present.
    #[arg(long, value_name = "FILE", env = "LOGPHASE_SETTINGS")]
    settings: Option<PathBuf>,
    /// Ask only whether the process works, which it does also while it starts and stops.
    #[arg(long)]
    live: bool,
}

const HELP: &str = "\
Examples:
  logphase health
  logphase health --live --settings /etc/logphase/logphase.yml

Exit codes:
  0   the service is healthy
  1   it is not, or does not answer
  2   the command line is invalid
  78  the settings are invalid";

/// How long the answer may take. Docker's own limit is 30 s.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Prints what the service says.
pub(super) fn run(arguments: &Health) -> Exit {
    let (settings, runtime) = match prepare(arguments.settings.as_deref()) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let path = if arguments.live { "/status/live" } else { "/status/ready" };
    let client = ControlClient::new(&settings.data_dir);
    let asked = runtime.block_on(async { timeout(TIMEOUT, client.get(path)).await });
    let problem = match asked {
        Ok(Ok(answer)) => {
            let message = answer.get("message").and_then(|message| message.as_str()).unwrap_or("healthy").to_owned();
            say(format!("{}\n", printable::line(&message)).as_bytes());
            return Exit::Done;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the service has not answered for {} s", TIMEOUT.as_secs()),
    };
    complain(&format!("error: {problem}\n"));
    Exit::Incomplete
}
