//! `logphase playground`: what the page of a service runs, in processes of their own. It is not for people.

use clap::Args;

use super::{Exit, complain, test};
use crate::dry_run::playground::{self, Request, Unserved};

/// Answer one request of the page's playground, from standard input.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct Playground {
    /// Start a process for each request that comes from the service.
    #[arg(long)]
    keep: bool,
}

/// Serves one request, or starts processes that do.
pub(super) fn run(arguments: &Playground) -> Exit {
    if arguments.keep {
        return keep();
    }
    let served = playground::serve(|request, clock| match serde_json::from_slice::<Request>(request) {
        Ok(request) if request.test.is_some() => test::made_of(&request, clock),
        Ok(request) => playground::answer(&request, clock),
        Err(error) => serde_json::json!({"message": format!("not a request: {error}")}).to_string().into_bytes(),
    });
    match served {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&format!("error: {error}\n"));
            if let Unserved::Confinement(_) = error { Exit::Unavailable } else { Exit::Incomplete }
        }
    }
}

fn keep() -> Exit {
    match crate::page::playground::keep() {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&format!("error: {error}\n"));
            Exit::Unavailable
        }
    }
}
