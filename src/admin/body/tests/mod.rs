mod forms;
mod properties;
mod requests;

use logphase_config::schema::{Field, Record};
use serde_json::{Map, Value};

use super::{Pair, decode_form, urlencoded};

static TEXT: Field = Field::string("");
static NUMBER: Field = Field::number("");
static BOOLEAN: Field = Field::boolean("");
static TEXTS: Field = Field::array("", &TEXT);
static PAIR: Record = Record::new(&[Field::integer("k"), Field::string("v")]);
static RECORD: Field = Field::record("", &PAIR);
static QUEUE: Record = Record::new(&[Field::integer("size"), Field::array("list", &TEXT)]);
static CONFIG: Record = Record::new(&[
    Field::string("host"),
    Field::integer("n"),
    Field::boolean("on"),
    Field::set("tags", &TEXT),
    Field::map("m", &TEXT, &TEXT),
    Field::map("mn", &TEXT, &NUMBER),
    Field::array("nums", &NUMBER),
    Field::record("q", &QUEUE),
    Field::array("recs", &RECORD),
]);
static ENTITY: Record = Record::new(&[
    Field::string("name"),
    Field::number("n"),
    Field::integer("i"),
    Field::boolean("on"),
    Field::array("a", &TEXT),
    Field::set("s", &TEXT),
    Field::array("nn", &NUMBER),
    Field::array("bb", &BOOLEAN),
    Field::map("m", &TEXT, &TEXT),
    Field::map("mn", &TEXT, &NUMBER),
    Field::map("ma", &TEXT, &TEXTS),
    Field::array("aa", &TEXTS),
    Field::record("config", &CONFIG),
]);

fn pairs(form: &str) -> Vec<Pair> {
    urlencoded(form.as_bytes()).expect("a form")
}

fn decoded(form: &str) -> Map<String, Value> {
    decode_form(&pairs(form), &ENTITY, &|_| None).expect("not too deep")
}
