//! Values as Kong's Admin API shows them: with every field.

use serde_json::{Map, Value};

use super::{Field, Record, Shown, Type};

impl Record {
    /// `values`, which were read from `given`, with all fields that the Admin API shows: those without a value are null, and so are
    /// those that `given` sets to null although they have a default.
    pub fn complete(&self, mut values: Map<String, Value>, given: Option<&Value>) -> Map<String, Value> {
        let mut complete = Map::new();
        for field in self.fields {
            let given = given.and_then(|given| given.get(field.name));
            let value = match given {
                Some(Value::Null) => None,
                _ => values.remove(field.name),
            };
            // Clients do not know the fields below one that Kong lacks: decK would take what is added there for a difference.
            let completed = |value| if field.extension { value } else { field.completed(value, given) };
            let value = value.map_or(Value::Null, completed);
            let is_shown = match field.shown {
                Shown::Always => true,
                Shown::IfSet => !value.is_null(),
                Shown::Never | Shown::InFiles => false,
            };
            if is_shown {
                complete.insert(field.name.to_owned(), value);
            }
        }
        complete
    }
}

impl Field {
    fn completed(&self, value: Value, given: Option<&Value>) -> Value {
        match (self.ty, value) {
            (Type::Record(record), Value::Object(values)) => Value::Object(record.complete(values, given)),
            (Type::Array(element) | Type::Set(element), Value::Array(items)) => {
                Value::Array(items.into_iter().map(|item| element.completed(item, None)).collect())
            }
            (Type::Map(_, element), Value::Object(members)) => {
                Value::Object(members.into_iter().map(|(key, value)| (key, element.completed(value, None))).collect())
            }
            (_, value) => value,
        }
    }
}
