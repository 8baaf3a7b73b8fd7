//! Expected values: JSON in which an object with one member whose name begins with `$` is a matcher.

use regex::Regex;
use serde_json::Value;

use logphase_config::diagnostic::suggest;
use logphase_script::message::{KeyPath, Part};

/// The names of the matchers.
const NAMES: [&str; 5] = ["$any", "$type", "$matches", "$contains", "$is"];
const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];

/// A condition on a value.
#[derive(Debug)]
pub(super) enum Matcher<'a> {
    /// Any value, including null; it must exist.
    Any,
    /// A JSON type, or `integer`.
    Type(&'a str),
    /// A string that matches the regular expression.
    Matches(Box<Regex>),
    /// A string that contains this text.
    Contains(&'a str),
    /// Exactly this value, even if it looks like a matcher, and not a subset.
    Is(&'a Value),
}

impl<'a> Matcher<'a> {
    /// Parses `value` as a matcher. `None` if it is not one; an error if it is invalid.
    pub(super) fn of(value: &'a Value) -> Option<Result<Self, String>> {
        let members = value.as_object().filter(|members| members.len() == 1)?;
        let (name, argument) = members.iter().next().filter(|(name, _)| name.starts_with('$'))?;
        let text = || argument.as_str().ok_or_else(|| format!("`{name}` takes a string"));
        Some(match name.as_str() {
            "$any" if *argument == Value::Bool(true) => Ok(Self::Any),
            "$any" => Err("write `$any: true`".to_owned()),
            "$type" => text().and_then(|name| match TYPES.contains(&name) {
                true => Ok(Self::Type(name)),
                false => Err(format!("`$type` is one of {}", TYPES.join(", "))),
            }),
            "$matches" => text().and_then(|text| match Regex::new(text) {
                Ok(regex) => Ok(Self::Matches(Box::new(regex))),
                Err(_) => Err("not a regular expression; look-around and back-references are not supported".to_owned()),
            }),
            "$contains" => text().map(Self::Contains),
            "$is" => Ok(Self::Is(argument)),
            _ => Err(match suggest(name, NAMES) {
                Some(suggestion) => format!("did you mean `{suggestion}`?"),
                None => {
                    format!("matchers are {}; wrap other names that begin with `$` in `$is`", NAMES.join(", "))
                }
            }),
        })
    }

    /// Whether `value` satisfies the condition.
    pub(super) fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Type(name) => match value {
                Value::Null => *name == "null",
                Value::Bool(_) => *name == "boolean",
                Value::Number(number) => {
                    *name == "number" || (*name == "integer" && number.as_f64().is_some_and(|n| n.fract() == 0.0))
                }
                Value::String(_) => *name == "string",
                Value::Array(_) => *name == "array",
                Value::Object(_) => *name == "object",
            },
            Self::Matches(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
            Self::Contains(part) => value.as_str().is_some_and(|text| text.contains(part)),
            Self::Is(expected) => same(expected, value),
        }
    }
}

/// Whether two values are equal: numbers by value, members in any order.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Which members of objects are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All members.
    Whole,
    /// The expected members of each object; `{}` expects an object without members.
    Subset,
}

impl Extent {
    /// Whether an object may have members that `expected` does not name.
    pub(super) fn open(self, expected: &serde_json::Map<String, Value>) -> bool {
        self == Self::Subset && !expected.is_empty()
    }
}

/// A value that differs from the expected one.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    /// The key path in the message.
    pub(super) path: String,
    /// The expected value; `None` if the key must not exist.
    pub(super) expected: Option<Value>,
    /// The actual value; `None` if the key does not exist.
    pub(super) got: Option<Value>,
}

/// Adds the differences between `expected` and `got`, which are at the key path `path`, to `differences`.
pub(super) fn compare(expected: &Value, got: &Value, extent: Extent, path: &str, differences: &mut Vec<Difference>) {
    let differs = || Difference { path: path.to_owned(), expected: Some(expected.clone()), got: Some(got.clone()) };
    if let Some(Ok(matcher)) = Matcher::of(expected) {
        if !matcher.holds(got) {
            differences.push(differs());
        }
        return;
    }
    match (expected, got) {
        (Value::Object(wanted), Value::Object(members)) => {
            for (name, expected) in wanted {
                let path = member_path(path, name);
                match members.get(name) {
                    Some(got) => compare(expected, got, extent, &path, differences),
                    None => differences.push(Difference { path, expected: Some(expected.clone()), got: None }),
                }
            }
            if !extent.open(wanted) {
                for (name, got) in members.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                    differences.push(Difference {
                        path: member_path(path, name),
                        expected: None,
                        got: Some(got.clone()),
                    });
                }
            }
        }
        (Value::Array(wanted), Value::Array(items)) if wanted.len() == items.len() => {
            for (index, (expected, got)) in wanted.iter().zip(items).enumerate() {
                compare(expected, got, extent, &format!("{path}[{}]", index + 1), differences);
            }
        }
        _ if same(expected, got) => {}
        _ => differences.push(differs()),
    }
}

/// The key path of the member `name` of the object at `path`.
pub(super) fn member_path(path: &str, name: &str) -> String {
    let name = name.replace('.', "\\.");
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// The value at a key path of a message.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    KeyPath::parse(path, false).parts().iter().try_fold(value, |value, part| match part {
        Part::Name(name) => value.as_object()?.get(std::str::from_utf8(&name.plain).ok()?),
        Part::Index(index) => value.as_array()?.get(index.checked_sub(1)?),
    })
}

/// Merges `patch` into `target` at the key path `parts`: objects are merged, null removes, other values replace.
///
/// # Errors
/// An index into a value that is not a list, or past the end of a list.
pub(super) fn merge(target: &mut Value, parts: &[Part], patch: &Value) -> Result<(), String> {
    let Some((part, rest)) = parts.split_first() else {
        match patch {
            Value::Object(members) => {
                let target = object(target);
                for (name, patch) in members {
                    if patch.is_null() {
                        target.remove(name);
                    } else {
                        merge(target.entry(name).or_insert(Value::Null), &[], patch)?;
                    }
                }
            }
            _ => *target = patch.clone(),
        }
        return Ok(());
    };
    match part {
        Part::Name(name) => {
            let name = String::from_utf8_lossy(&name.plain);
            let target = object(target);
            if patch.is_null() && (rest.is_empty() || !target.contains_key(&*name)) {
                target.remove(&*name);
                return Ok(());
            }
            merge(target.entry(&*name).or_insert(Value::Null), rest, patch)
        }
        Part::Index(index) => {
            let items = target.as_array_mut().ok_or_else(|| format!("[{index}] needs a list"))?;
            let length = items.len();
            let at = index - 1;
            if patch.is_null() && rest.is_empty() {
                if at < length {
                    items.remove(at);
                }
                return Ok(());
            }
            if at == length {
                items.push(Value::Null);
            }
            let item = items.get_mut(at).ok_or_else(|| format!("[{index}] is past the end of a list of {length}"))?;
            merge(item, rest, patch)
        }
    }
}

/// Returns `value` as an object. Replaces any other value by an empty object.
fn object(value: &mut Value) -> &mut serde_json::Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(serde_json::Map::new());
    }
    value.as_object_mut().expect("the value is an object")
}
