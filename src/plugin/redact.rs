//! The rules of `redact`, as a schema.

use crate::schema::{Check, Field, Record};

/// One rule.
pub(super) static RULE: Field = Field::record("", &FIELDS);

static FIELDS: Record = Record::new(&[
    Field::string("header").about("Name of a request or response header, in any case."),
    Field::string("query").about("Name of a query argument, in the URL and in the query string."),
    Field::string("cookie").about("Name of a cookie."),
    Field::string("key").about("Key path: dots nest, a backslash makes a dot part of a name."),
    Field::string("pattern").about("Regular expression; what it matches in any text of the message is redacted."),
    Field::string("action")
        .checks(&[Check::OneOf(&["remove", "mask", "hash"])])
        .about("Take it out, put `***` in its place (the default), or its keyed hash."),
]);
