//! Checks of a value besides its type.

use serde_json::Value;

/// A check of one value.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// A number in a range, ends included.
    Between(f64, f64),
    /// A number greater than another.
    GreaterThan(f64),
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// One of these numbers.
    OneOfNumbers(&'static [f64]),
    /// At least this many bytes or elements.
    LenMin(usize),
    /// At most this many bytes or elements.
    LenMax(usize),
    /// A string that starts with another.
    StartsWith(&'static str),
    /// A UUID.
    Uuid,
    /// A custom check; the error is Kong's wording.
    Custom(fn(&Value) -> Result<(), String>),
}

/// An error about several fields together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field to point at.
    pub field: &'static str,
    /// The problem, as a lowercase fragment.
    pub message: String,
    /// What Kong says of it.
    pub kong: Violation,
}

/// What Kong says of an error about several fields, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A text about the record as a whole. Such a check needs valid fields.
    Entity(String),
    /// The same of a check that an invalid field satisfies as well: `at least one of these fields must be non-empty`.
    AtLeastOne(String),
    /// A text about the record, and a field whose value the value of another one forbids, with the text about it.
    Conditional(String, &'static str, &'static str),
    /// A text about the field alone.
    Field(String),
    /// A text in place of those of the record's fields, as custom validators of records give it.
    Value(String),
}

impl Violation {
    /// The text.
    pub fn text(&self) -> &str {
        match self {
            Self::Entity(text)
            | Self::AtLeastOne(text)
            | Self::Conditional(text, ..)
            | Self::Field(text)
            | Self::Value(text) => text,
        }
    }

    /// Whether the check says something of a record with invalid fields, too (`run_with_invalid_fields` in kong/db/schema/init.lua).
    pub(super) fn holds_beside_errors(&self) -> bool {
        matches!(self, Self::AtLeastOne(_) | Self::Conditional(..) | Self::Field(_))
    }
}

impl Violation {
    /// The field `field` is wrong by `wording`, given the value of the field `given` (Kong's `conditional`).
    pub fn conditional(given: &str, field: &'static str, wording: &'static str) -> Self {
        Self::Conditional(format!("failed conditional validation given value of field '{given}'"), field, wording)
    }
}

impl From<&str> for Violation {
    fn from(text: &str) -> Self {
        Self::Entity(text.to_owned())
    }
}

impl From<String> for Violation {
    fn from(text: String) -> Self {
        Self::Entity(text)
    }
}

impl Check {
    /// Checks `value`, which has the right type. The error is Kong's wording.
    pub fn run(&self, value: &Value) -> Result<(), String> {
        let number = value.as_f64().unwrap_or(f64::NAN);
        let text = value.as_str().unwrap_or("");
        let length = match value {
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => text.len(),
        };
        let (passes, wording) = match *self {
            // Kong prints both with `%d`.
            Self::Between(low, high) => (
                (low..=high).contains(&number),
                format!("value should be between {} and {}", low.trunc(), high.trunc()),
            ),
            Self::GreaterThan(limit) => (number > limit, format!("value must be greater than {limit}")),
            Self::OneOf(choices) => (choices.contains(&text), format!("expected one of: {}", choices.join(", "))),
            Self::OneOfNumbers(choices) => {
                let listed: Vec<_> = choices.iter().map(f64::to_string).collect();
                (choices.contains(&number), format!("expected one of: {}", listed.join(", ")))
            }
            Self::LenMin(least) => (length >= least, format!("length must be at least {least}")),
            Self::LenMax(most) => (length <= most, format!("length must be at most {most}")),
            Self::StartsWith(start) => (text.starts_with(start), format!("should start with: {start}")),
            Self::Uuid => (is_uuid(text), "expected a valid UUID".to_owned()),
            Self::Custom(check) => return check(value),
        };
        if passes { Ok(()) } else { Err(wording) }
    }
}

/// Whether `text` has the form of a UUID.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}
