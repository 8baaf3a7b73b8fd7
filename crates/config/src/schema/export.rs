//! Definitions in the form of Kong's Admin API (`GET /schemas/plugins/NAME`).

use serde_json::{Map, Value, json};

use super::{Check, Field, Record, Shown, Type};

impl Record {
    /// The fields as Kong lists them: one object with one member each. They are those that every answer has: decK takes a listed
    /// field for one that it reads back.
    pub fn to_json(&self) -> Value {
        let fields = self.fields.iter().filter(|field| field.shown == Shown::Always);
        let fields: Vec<Value> = fields.map(|field| json!({ field.name: field.to_json() })).collect();
        Value::Array(fields)
    }
}

impl Field {
    /// The definition of one field.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut put = |name: &str, value: Value| {
            json.insert(name.to_owned(), value);
        };
        put("type", self.ty.kong_name().into());
        match self.ty {
            Type::Any => put("abstract", true.into()),
            Type::Array(element) | Type::Set(element) => put("elements", element.to_json()),
            Type::Map(keys, values) => {
                put("keys", keys.to_json());
                put("values", values.to_json());
            }
            Type::Record(record) => put("fields", record.to_json()),
            Type::Foreign(kind) => put("reference", kind.into()),
            _ => {}
        }
        if self.required {
            put("required", true.into());
        }
        if let (Some(default), false) = (self.default_value(), matches!(self.ty, Type::Record(_))) {
            put("default", default);
        }
        for check in self.checks {
            match *check {
                Check::Between(low, high) => put("between", json!([number(low), number(high)])),
                Check::GreaterThan(limit) => put("gt", number(limit)),
                Check::OneOf(choices) => put("one_of", choices.into()),
                Check::OneOfNumbers(choices) => put("one_of", choices.into()),
                Check::LenMin(least) => put("len_min", least.into()),
                Check::LenMax(most) => put("len_max", most.into()),
                Check::StartsWith(start) => put("starts_with", start.into()),
                Check::Uuid => put("uuid", true.into()),
                Check::Custom(_) => {}
            }
        }
        for (name, text) in [("description", self.about), ("since", self.since)] {
            if !text.is_empty() {
                put(name, text.into());
            }
        }
        if !self.instead.is_empty() {
            put("deprecation", json!({ "message": self.deprecation() }));
        }
        let marks = [
            ("referenceable", self.referenceable),
            ("extension", self.extension),
            ("unique", self.unique),
            ("auto", self.auto),
            ("encrypted", self.secret),
        ];
        for (name, _) in marks.into_iter().filter(|(_, is_set)| *is_set) {
            put(name, true.into());
        }
        Value::Object(json)
    }

    /// What Kong says of a field that another one replaces.
    pub fn deprecation(&self) -> String {
        format!("{} is deprecated, please use {} instead", self.name, self.instead.replace('`', ""))
    }
}

/// A whole number has no decimal point, as in Kong.
fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { (number as i64).into() } else { number.into() }
}

impl Type {
    /// The name of the type in Kong's schemas, where clients know no others.
    fn kong_name(&self) -> &'static str {
        match self {
            Self::Any => "record",
            Self::Duration => "number",
            Self::Size => "integer",
            other => other.name(),
        }
    }

    /// The type's name in schemas.
    pub fn name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array(_) => "array",
            Self::Set(_) => "set",
            Self::Map(..) => "map",
            Self::Record(_) => "record",
            Self::Any => "any",
            Self::Foreign(_) => "foreign",
            Self::Duration => "duration",
            Self::Size => "size",
        }
    }
}
