//! What PostgreSQL reports, in our words.

use tokio_postgres::error::SqlState;

use super::format::VERSION;
use super::session::Failure;
use crate::admin::store::StoreError;
use crate::options::postgres::{PostgresUrl, reasons};

impl Failure {
    /// As an error of the database at `url`.
    pub(super) fn into_store(self, url: &PostgresUrl) -> StoreError {
        let store = url.to_string();
        match self {
            Self::Postgres(error) => explain(store, &error),
            Self::Tls(why) => {
                let help = "check sslmode, sslrootcert, sslcert and sslkey in database_url";
                StoreError::Refused { store, why, help }
            }
            Self::Late => StoreError::Away { store, why: "it does not answer in time".to_owned() },
            Self::Io(error) => StoreError::Away { store, why: error.to_string() },
            Self::Newer(found) => StoreError::Newer { store, found, known: VERSION },
            Self::Older(found) => StoreError::Older { store, found, known: VERSION },
        }
    }
}

fn explain(store: String, error: &tokio_postgres::Error) -> StoreError {
    let Some(found) = error.as_db_error() else {
        let why = reasons(error);
        // Without a code, the bytes on the connection are at fault, or there are none. What cannot change by itself is not
        // waited for.
        let is_setting = why.starts_with("invalid configuration") || why.starts_with("authentication error");
        let help = "check database_url";
        return if is_setting { StoreError::Refused { store, why, help } } else { StoreError::Away { store, why } };
    };
    let why = format!("{}: {}", found.severity(), found.message());
    let is = |codes: &[SqlState]| codes.contains(found.code());
    let help = match found.code().code() {
        _ if is(&[SqlState::DISK_FULL]) => return StoreError::Full { store },
        "28P01" | "28000" => "check user and password in database_url, and pg_hba.conf of the server",
        "3D000" => "create the database, or correct its name in database_url",
        "42501" => "make the user the owner of the database, or give it the right to create tables in the schema",
        // The connection (class 08), resources (53), an operator or a crash (57), the system (58); a standby.
        code if ["08", "53", "57", "58"].contains(&&code[..2]) || is(&[SqlState::READ_ONLY_SQL_TRANSACTION]) => {
            return StoreError::Away { store, why };
        }
        _ => "see the log of PostgreSQL",
    };
    StoreError::Refused { store, why, help }
}
