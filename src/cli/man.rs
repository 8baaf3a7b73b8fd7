//! `logphase man`: manual pages, made of the arguments' own help.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;

use super::arguments::Arguments;
use super::{Exit, complain, say};

/// Print the manual page, or write the pages of all commands into a directory.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Man {
    /// Directory for logphase.1, logphase-run.1 and so on, which must exist; default: print the first page.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  logphase man | man -l -
  logphase man /usr/local/share/man/man1

Exit codes:
  0   the pages are written
  2   the command line is invalid
  74  a page cannot be written";

/// Prints or writes the pages.
pub(super) fn run(arguments: &Man) -> Exit {
    // Only a built command knows its full name, and has the options that all have.
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = &arguments.directory else {
        let mut page = Vec::new();
        return match Page::new(command).render(&mut page) {
            Ok(()) => {
                say(&page);
                Exit::Done
            }
            Err(error) => failed(Path::new("-"), &error),
        };
    };
    write_pages(&command, directory)
}

/// Writes the pages of `command` and, with its name before theirs, of those below it.
fn write_pages(command: &clap::Command, directory: &Path) -> Exit {
    let page = Page::new(command.clone());
    let path = directory.join(page.get_filename());
    let mut text = Vec::new();
    if let Err(error) = page.render(&mut text).and_then(|()| std::fs::write(&path, &text)) {
        return failed(&path, &error);
    }
    let visible = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    visible.map(|inner| write_pages(inner, directory)).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done)
}

fn failed(path: &Path, error: &std::io::Error) -> Exit {
    complain(&format!("error: cannot write {}: {error}; name a directory that exists\n", path.display()));
    Exit::Unavailable
}
