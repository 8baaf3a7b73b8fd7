//! `logphase top`: inputs, plugins and queues of a running service, in a terminal.

mod draw;
mod plain;
mod rows;
mod source;
mod status;
#[cfg(test)]
mod tests;
mod view;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Exit, complain, control, say};
use source::Source;
use view::{Action, Snapshot, View};

/// Watch inputs, plugins and queues of the running service.
///
/// Asks the service over the control socket in its data directory, or otherwise its status listener. Keys: q quits,
/// arrows or j and k select a plugin, Enter shows its details, s sorts, p pauses, ? shows help.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Top {
    /// URL of a service's status listener, on this machine or another.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print one table as plain text and exit; the default if standard output is not a terminal.
    #[arg(long)]
    once: bool,
    /// Settings file, which names the service's data directory; default: logphase.yml in the current directory, if
    /// present.
    #[arg(long, value_name = "FILE", env = "LOGPHASE_SETTINGS")]
    settings: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  logphase top
  logphase top --url http://127.0.0.1:8007
  logphase top --once

Exit codes:
  0   the user quit, or the table was printed
  2   the command line is invalid
  74  no service answers
  78  the settings are invalid";

/// Shows the service until the user quits.
pub(super) fn run(arguments: &Top) -> Exit {
    let prepare = if arguments.url.is_none() { control::prepare_and_locate } else { control::prepare };
    let (settings, runtime) = match prepare(arguments.settings.as_deref()) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let found = runtime.block_on(Source::find(arguments.url.as_deref(), &settings));
    let (source, first) = match found {
        Ok(found) => found,
        Err(error) => {
            complain(&format!("error: {error}\n"));
            return Exit::Unavailable;
        }
    };
    if arguments.once || !std::io::stdout().is_terminal() {
        say(plain::table(&first).as_bytes());
        return Exit::Done;
    }
    let mut view = View::new(source.to_string());
    view.update(Ok(first));
    let updates = source.watch(runtime);
    match show(&mut view, &updates) {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&format!("error: cannot draw on this terminal: {error}; try --once\n"));
            Exit::Unavailable
        }
    }
}

/// How long to wait for a key before new status updates are handled.
const TICK: Duration = Duration::from_millis(100);

fn show(view: &mut View, updates: &Receiver<Result<Snapshot, String>>) -> std::io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let result = (|| {
        loop {
            terminal.draw(|frame| draw::draw(frame, view))?;
            if event::poll(TICK)?
                && let Event::Key(key) = event::read()?
                && let Some(action) = action(key)
                && !view.act(action)
            {
                return Ok(());
            }
            while let Ok(update) = updates.try_recv() {
                view.update(update);
            }
        }
    })();
    ratatui::restore();
    result
}

fn action(key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Action::Quit,
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Up | KeyCode::Char('k') => Action::Up,
        KeyCode::Down | KeyCode::Char('j') => Action::Down,
        KeyCode::Enter => Action::Details,
        KeyCode::Esc => Action::Back,
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Char('s') => Action::Sort,
        KeyCode::Char('?' | 'h') => Action::Help,
        _ => return None,
    })
}
