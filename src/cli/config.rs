//! `logphase config`.

use super::arguments::{Config as Arguments, ConfigAction};
use super::{Exit, complain, say, show};
use crate::service::{ConfigFiles, Prepared, database};
use logphase_config::diagnostic::{Diagnostic, any_error, codes};

/// Moves entities between declarative files and the database.
pub(super) fn run(arguments: &Arguments) -> Exit {
    let moved = match &arguments.action {
        ConfigAction::Export { settings } => {
            export(ConfigFiles { settings: settings.clone(), ..ConfigFiles::default() })
        }
        ConfigAction::Import { files, replace } => import(files.clone().into(), *replace),
    };
    match moved {
        Ok(()) => Exit::Done,
        Err(diagnostics) => {
            show(&diagnostics);
            Exit::of(&diagnostics)
        }
    }
}

fn export(files: ConfigFiles) -> Result<(), Vec<Diagnostic>> {
    let (settings, diagnostics) = files.read_settings();
    if any_error(&diagnostics) {
        return Err(diagnostics);
    }
    let text = database::export(&settings).map_err(|error| vec![*error])?;
    say(text.as_bytes());
    Ok(())
}

fn import(files: ConfigFiles, replace: bool) -> Result<(), Vec<Diagnostic>> {
    let loaded = files.load();
    if loaded.paths.is_empty() {
        let error = Diagnostic::error(codes::SETTING, "no declarative file is named").path("config");
        return Err(vec![error.help("give one: logphase config import kong.yml")]);
    }
    let sources = loaded.configuration.sources.clone();
    let prepared = Prepared::new(loaded)?;
    show(prepared.warnings());
    let count = database::import(prepared.settings(), &sources, replace).map_err(|error| vec![*error])?;
    complain(&format!("{count} entities are in the database\n"));
    Ok(())
}
