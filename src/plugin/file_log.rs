//! file-log: appends one line per message to a file.

use serde_json::Value;

use super::Definition;
use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, FORMAT, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, QUEUE, REDACT,
};
use crate::sink::file;
use logphase_config::schema::{Check, Default, Field, Record};

/// The plugin.
pub const DEFINITION: Definition = Definition {
    old_names: &["filelog"],
    written_files: &["path"],
    transport: "file",
    ..Definition::logging("file-log", 9, &SCHEMA, file::open)
};

static SCHEMA: Record = Record::new(&[
    Field::string("path").required().checks(&[Check::Custom(check_path)]).about("The file to append to."),
    Field::boolean("reopen").required().default(Default::Boolean(false)).about("Reopen the file for each message."),
    FORMAT,
    CUSTOM_FIELDS,
    ON_ERROR,
    INCLUDE_BODY,
    MAX_BODY_SIZE,
    BODY_TYPES,
    ON_BODY_ERROR,
    REDACT,
    QUEUE,
]);

/// Kong's pattern for file names: at least two characters, without `*`, `&`, `%`, `\` and the back quote, and without white
/// space at either end.
fn check_path(value: &Value) -> Result<(), String> {
    let path = value.as_str().unwrap_or("");
    let valid = path.len() >= 2 && path.trim().len() == path.len() && !path.contains(['*', '&', '%', '\\', '`']);
    if valid { Ok(()) } else { Err("not a valid filename".into()) }
}
