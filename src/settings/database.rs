//! The URL of the database.

use logphase_config::diagnostic::{Diagnostic, codes};
use serde_json::{Map, Value};

use crate::options::postgres::PostgresUrl;

/// Reports a URL that is missing or wrong. Its diagnostics show no source text, which would show the password.
pub(super) fn check(values: &Map<String, Value>, diagnostics: &mut Vec<Diagnostic>) {
    let text = |name: &str| values.get(name).and_then(Value::as_str);
    let mut report = |message: String| {
        let error = Diagnostic::error(codes::SETTING, message).path("database_url");
        diagnostics.push(error.help("give one like postgres://logphase:PASSWORD@db.internal/logphase"));
    };
    match text("database_url") {
        None if text("database") == Some("postgres") => {
            report(
                "`database: postgres` needs the URL of the database: set `database_url` (LOGPHASE_DATABASE_URL)"
                    .to_owned(),
            );
        }
        Some(url) => {
            if let Err(error) = PostgresUrl::parse(url) {
                report(format!("the setting `database_url` is no URL of a database of PostgreSQL: {error}"));
            }
        }
        None => {}
    }
}
