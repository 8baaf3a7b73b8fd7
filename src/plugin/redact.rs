//! The schema of the rules of `redact`.

use serde_json::{Map, Value};

use logphase_config::schema::{Check, Field, Problem, Record};
use logphase_script::message::compile_pattern;

/// One rule.
pub(super) static RULE: Field = Field::record("", &RECORD);

static RECORD: Record = Record {
    fields: &[
        Field::string("header").about("Name of a request or response header, in any case."),
        Field::string("query").about("Name of a query argument, in the URL and in the query string."),
        Field::string("cookie").about("Name of a cookie."),
        Field::string("key").about("Key path: a dot leads into an object, `\\.` is a dot in a name, `*` is any name."),
        Field::string("pattern")
            .checks(&[Check::Custom(check_pattern)])
            .about("Regular expression; its matches in every string of the message are redacted."),
        Field::string("action")
            .checks(&[Check::OneOf(&["remove", "mask", "hash"])])
            .about("remove the value, or replace it with `***` (mask, the default) or with its keyed hash."),
    ],
    checks: &[one_target],
};

const TARGETS: [&str; 5] = ["header", "query", "cookie", "key", "pattern"];

/// Kong's `only_one_of`.
fn one_target(rule: &Map<String, Value>) -> Result<(), Problem> {
    let given: Vec<_> = TARGETS.into_iter().filter(|name| rule.contains_key(*name)).collect();
    let message = match &given[..] {
        [_] => return Ok(()),
        [] => format!("a `redact` rule names none of {}", TARGETS.join(", ")),
        several => format!("a `redact` rule names {}, and may name only one", several.join(" and ")),
    };
    let kong = format!("exactly one of these fields must be non-empty: '{}'", TARGETS.join("', '"));
    Err(Problem { field: given.get(1).copied().unwrap_or_default(), message, kong: kong.into() })
}

fn check_pattern(value: &Value) -> Result<(), String> {
    compile_pattern(value.as_str().unwrap_or_default()).map(drop)
}
