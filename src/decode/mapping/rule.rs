//! Rules of a mapping, ready to be applied.

use super::unit::Unit;

/// An object of the transaction.
#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) members: Vec<Target>,
}

/// A member of an object of the transaction.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    /// The name as JSON, with the colon.
    pub(super) json: Vec<u8>,
    /// Of these the first that gives a value counts.
    pub(super) rules: Vec<Rule>,
    /// Its members, if it is an object; then its rules give more of them.
    pub(super) object: Option<Object>,
}

impl Target {
    pub(super) fn new(name: &str) -> Self {
        let mut json = Vec::new();
        super::text::push_string(&mut json, name.as_bytes());
        json.push(b':');
        Self { name: name.to_owned(), json, rules: Vec::new(), object: None }
    }
}

/// How a value is made.
#[derive(Debug)]
pub(super) struct Rule {
    /// The rule counts only if the slot has a value, or, with `false`, none; of a list the last item says that.
    pub(super) guard: Option<(usize, bool)>,
    pub(super) source: Source,
    pub(super) kind: Kind,
    /// Which item of a list is the value.
    pub(super) item: Option<Item>,
    /// Texts with the JSON that is written instead.
    pub(super) values: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where a value comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The first of these slots that has a value.
    Slots(Vec<usize>),
    /// Durations and times, added and subtracted.
    Sum(Vec<Term>),
    /// Text with values in it.
    Template(Vec<Part>),
    /// JSON.
    Constant(Vec<u8>),
    /// The members whose names begin with a prefix.
    Prefix(usize),
    /// An array with an object for each item of the lists in these slots.
    Each(Vec<(Target, usize)>),
    /// The members that nothing else reads.
    Rest,
}

/// One number of a sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) slot: usize,
    pub(super) unit: Unit,
    pub(super) negative: bool,
}

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Part {
    /// Text, escaped for JSON.
    Text(Vec<u8>),
    /// The value of a slot, or, with `true`, the target in the request line that it is.
    Slot(usize, bool),
}

/// What a value becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It stays what it is.
    Unchanged,
    String,
    Number,
    /// Milliseconds of a time or duration.
    Milliseconds(Unit),
    /// An object of the arguments of a query.
    Query,
    /// The same of the query of a URI.
    UriQuery,
    /// An object with names in lower case and one value for each, or several in an array.
    Headers,
    /// The target of a request line, `GET /path?query HTTP/1.1`.
    RequestTarget,
    /// The address of `ADDRESS:PORT`.
    Ip,
    /// The port of it, as a number.
    Port,
}

/// The names of the kinds that a rule can name.
pub(super) const KINDS: &[&str] =
    &["string", "number", "query", "uri_query", "headers", "request_target", "ip", "port"];

impl Kind {
    /// The kind called `name`, one of [`KINDS`].
    pub(super) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "number" => Self::Number,
            "query" => Self::Query,
            "uri_query" => Self::UriQuery,
            "headers" => Self::Headers,
            "request_target" => Self::RequestTarget,
            "ip" => Self::Ip,
            "port" => Self::Port,
            _ => return None,
        })
    }
}

/// An item of a list such as `502, 200`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    First,
    Last,
    /// All of them: an array, or the sum of numbers.
    All,
}

/// The names of items.
pub(super) const ITEMS: &[&str] = &["first", "last", "all"];

impl Item {
    /// The item called `name`, one of [`ITEMS`].
    pub(super) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "first" => Self::First,
            "last" => Self::Last,
            "all" => Self::All,
            _ => return None,
        })
    }
}
