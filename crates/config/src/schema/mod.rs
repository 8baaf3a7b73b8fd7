//! Fields: one definition gives type, default, validation in Kong's wording, documentation and the Admin API's schema.
//!
//! The rules and the texts are those of Kong's schema library. Durations and sizes, which Kong lacks, are for Logphase's
//! own settings and extensions.

mod check;
mod complete;
mod export;
mod json_schema;
mod read;
mod units;

use serde_json::Value;

pub use check::{Check, Problem, Violation, is_uuid};
pub use json_schema::Placeholders;
pub use read::Scope;

/// The type of a field's value.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names are those of Kong's types")]
pub enum Type {
    /// Text; it must not be empty unless [`Check::LenMin`] allows it.
    String,
    /// A number without fraction.
    Integer,
    /// Any finite number.
    Number,
    Boolean,
    /// A list whose elements are described by this field.
    Array(&'static Field),
    /// A list without duplicates.
    Set(&'static Field),
    /// A map; the first field describes the keys, the second the values.
    Map(&'static Field, &'static Field),
    /// Fixed fields.
    Record(&'static Record),
    /// Any value; it is not checked.
    Any,
    /// A reference to an entity of the kind with this name: `{"id": UUID}`, or null.
    Foreign(&'static str),
    /// `30s`, `500ms` or a number of seconds; read as seconds. Kong lacks it.
    Duration,
    /// `8MiB`, `1m` or a number of bytes; read as bytes. Kong lacks it.
    Size,
}

/// The value of an absent field.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the variants are named after the types of values")]
pub enum Default {
    /// No default; the field stays absent.
    None,
    String(&'static str),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Strings(&'static [&'static str]),
    /// A record with the defaults of its fields.
    Record,
    /// What the function returns, for a list of records.
    List(fn() -> Value),
}

/// When the Admin API shows a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Always; a field without a value is null.
    Always,
    /// Only if it has a value.
    IfSet,
    /// Never: a request may have it, and its value becomes that of other fields.
    Never,
    /// Never, and no request may have it: only files do.
    InFiles,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The name; empty for elements of lists and maps.
    pub name: &'static str,
    /// The type of the value.
    pub ty: Type,
    /// Whether the field must have a value.
    pub required: bool,
    /// The value of an absent field.
    pub default: Default,
    /// Checks of the value.
    pub checks: &'static [Check],
    /// Description, in a sentence.
    pub about: &'static str,
    /// The first version of Kong Gateway that has the field; empty if every version has it.
    pub since: &'static str,
    /// The replacement, if the field is deprecated.
    pub instead: &'static str,
    /// A field that Kong lacks.
    pub extension: bool,
    /// Whether the value may be a vault reference, as Kong's schemas say.
    pub referenceable: bool,
    /// Whether a check over several fields depends on the field: Kong has other words if it is missing.
    pub decides: bool,
    /// When the Admin API shows it.
    pub shown: Shown,
    /// Whether the log phase uses the value. If not, a file may have any value.
    pub unread: bool,
    /// Whether no two entities of a kind have the same value.
    pub unique: bool,
    /// Whether an absent value is made by the Admin API: an id, or a time.
    pub auto: bool,
    /// Whether the value is a secret, which the Admin API masks.
    pub secret: bool,
}

/// A check over several fields of a record.
pub type RecordCheck = fn(&serde_json::Map<String, Value>) -> Result<(), Problem>;

/// Fields that belong together.
#[derive(Debug)]
pub struct Record {
    /// Its fields, in the order of the documentation.
    pub fields: &'static [Field],
    /// Checks over several fields.
    pub checks: &'static [RecordCheck],
}

impl Field {
    const fn of(name: &'static str, ty: Type) -> Self {
        Self {
            name,
            ty,
            required: false,
            default: Default::None,
            checks: &[],
            about: "",
            since: "",
            instead: "",
            extension: false,
            referenceable: false,
            decides: false,
            shown: Shown::Always,
            unread: false,
            unique: false,
            auto: false,
            secret: false,
        }
    }

    /// A string.
    pub const fn string(name: &'static str) -> Self {
        Self::of(name, Type::String)
    }

    /// A whole number.
    pub const fn integer(name: &'static str) -> Self {
        Self::of(name, Type::Integer)
    }

    /// A number.
    pub const fn number(name: &'static str) -> Self {
        Self::of(name, Type::Number)
    }

    /// A boolean.
    pub const fn boolean(name: &'static str) -> Self {
        Self::of(name, Type::Boolean)
    }

    /// A list.
    pub const fn array(name: &'static str, element: &'static Field) -> Self {
        Self::of(name, Type::Array(element))
    }

    /// A list without repetition.
    pub const fn set(name: &'static str, element: &'static Field) -> Self {
        Self::of(name, Type::Set(element))
    }

    /// A map.
    pub const fn map(name: &'static str, key: &'static Field, value: &'static Field) -> Self {
        Self::of(name, Type::Map(key, value))
    }

    /// A record.
    pub const fn record(name: &'static str, record: &'static Record) -> Self {
        Self::of(name, Type::Record(record))
    }

    /// A reference to an entity of the kind `kind`.
    pub const fn foreign(name: &'static str, kind: &'static str) -> Self {
        Self::of(name, Type::Foreign(kind))
    }

    /// Anything.
    pub const fn any(name: &'static str) -> Self {
        Self::of(name, Type::Any)
    }

    /// A duration in seconds.
    pub const fn duration(name: &'static str) -> Self {
        Self::of(name, Type::Duration)
    }

    /// A size in bytes.
    pub const fn size(name: &'static str) -> Self {
        Self::of(name, Type::Size)
    }

    /// Makes the field required. A required record that is absent gets the defaults of its fields.
    pub const fn required(mut self) -> Self {
        self.required = true;
        if let Type::Record(_) = self.ty {
            self.default = Default::Record;
        }
        self
    }

    /// Makes the field optional again: null unsets it.
    pub const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// Says that a check over several fields depends on the field.
    pub const fn decides(mut self) -> Self {
        self.decides = true;
        self
    }

    /// Sets the value of an absent field.
    pub const fn default(mut self, default: Default) -> Self {
        self.default = default;
        self
    }

    /// Sets the checks of the value.
    pub const fn checks(mut self, checks: &'static [Check]) -> Self {
        self.checks = checks;
        self
    }

    /// Sets the description. White space around it, as documentation comments have it, is removed.
    pub const fn about(mut self, about: &'static str) -> Self {
        self.about = about.trim_ascii();
        self
    }

    /// Sets the first version of Kong Gateway that has the field.
    pub const fn since(mut self, since: &'static str) -> Self {
        self.since = since;
        self
    }

    /// Marks the field as deprecated in favour of `instead`.
    pub const fn instead(mut self, instead: &'static str) -> Self {
        self.instead = instead;
        self
    }

    /// Allows a vault reference as the value.
    pub const fn referenceable(mut self) -> Self {
        self.referenceable = true;
        self
    }

    /// Says that the log phase does not use the value: a file may have any.
    pub const fn unread(mut self) -> Self {
        self.unread = true;
        self
    }

    /// Says when the Admin API shows the field.
    pub const fn shown(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }

    /// Says that no two entities of a kind have the same value.
    pub const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Says that the Admin API makes an absent value.
    pub const fn auto(mut self) -> Self {
        self.auto = true;
        self
    }

    /// Says that the value is a secret.
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Whether the checks of the field accept `value`, which has its type.
    pub fn accepts(&self, value: &Value) -> bool {
        self.checks.iter().all(|check| check.run(value).is_ok())
    }

    /// Marks the field as one that Kong lacks.
    pub const fn extension(mut self) -> Self {
        self.extension = true;
        self.shown = Shown::IfSet;
        self
    }
}

impl Record {
    /// A record without checks over several fields.
    pub const fn new(fields: &'static [Field]) -> Self {
        Self { fields, checks: &[] }
    }

    /// Sets the checks over several fields.
    pub const fn checks(mut self, checks: &'static [RecordCheck]) -> Self {
        self.checks = checks;
        self
    }

    /// The field called `name`.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The defaults of the fields.
    pub fn defaults(&self) -> serde_json::Map<String, Value> {
        let given = self.fields.iter().filter_map(|field| Some((field.name.to_owned(), field.default_value()?)));
        given.collect()
    }
}

impl Field {
    /// The default as JSON.
    pub fn default_value(&self) -> Option<Value> {
        Some(match self.default {
            Default::None => return None,
            Default::String(text) => Value::from(text),
            Default::Integer(number) => Value::from(number),
            Default::Number(number) => Value::from(number),
            Default::Boolean(value) => Value::from(value),
            Default::Strings(items) => Value::from(items),
            Default::List(items) => items(),
            Default::Record => match self.ty {
                Type::Record(record) => Value::Object(record.defaults()),
                _ => return None,
            },
        })
    }
}

/// Whether `text` is a vault reference, which Kong resolves at run time.
pub fn is_vault_reference(text: &str) -> bool {
    text.starts_with("{vault://") && text.ends_with('}')
}

#[cfg(test)]
mod tests;
