//! Expected values: JSON in which an object of one member that begins with `$` is a matcher.

use regex::Regex;
use serde_json::Value;

use logphase_config::diagnostic::suggest;
use logphase_script::message::{KeyPath, Part};

/// The matchers' names.
const NAMES: [&str; 5] = ["$any", "$type", "$matches", "$contains", "$is"];
const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];

/// What a value must be, where it is not written out.
#[derive(Debug)]
pub(super) enum Matcher<'a> {
    /// Any value, null too; it must be there.
    Any,
    /// A type of JSON's, or a whole number.
    Type(&'a str),
    /// A string in which the expression is found.
    Matches(Box<Regex>),
    /// A string with this in it.
    Contains(&'a str),
    /// Exactly this, even if it looks like a matcher or would be a subset.
    Is(&'a Value),
}

impl<'a> Matcher<'a> {
    /// The matcher that `value` is, if it is one; an error says what is wrong with it.
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
                Err(_) => Err("not a regular expression; look-around and back-references are not there".to_owned()),
            }),
            "$contains" => text().map(Self::Contains),
            "$is" => Ok(Self::Is(argument)),
            _ => Err(match suggest(name, NAMES) {
                Some(found) => format!("did you mean `{found}`?"),
                None => {
                    format!("matchers are {}; write other names that begin with `$` inside of `$is`", NAMES.join(", "))
                }
            }),
        })
    }

    /// Whether `value` is as it must be.
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

/// Whether two values are the same: numbers by value, members in any order.
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

/// How much of an object is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every member.
    Whole,
    /// Of each object, the members that are named; `{}` is an object without members.
    Subset,
}

impl Extent {
    /// Whether an object may have members that `expected` does not name.
    pub(super) fn open(self, expected: &serde_json::Map<String, Value>) -> bool {
        self == Self::Subset && !expected.is_empty()
    }
}

/// One value that is not what it must be.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    /// Key path from the message.
    pub(super) path: String,
    /// What was expected; none if nothing may be there.
    pub(super) expected: Option<Value>,
    /// What is there, if anything.
    pub(super) got: Option<Value>,
}

/// Adds to `found` where `got` is not as `expected`, whose key path is `path`.
pub(super) fn compare(expected: &Value, got: &Value, extent: Extent, path: &str, found: &mut Vec<Difference>) {
    let differs = || Difference { path: path.to_owned(), expected: Some(expected.clone()), got: Some(got.clone()) };
    if let Some(Ok(matcher)) = Matcher::of(expected) {
        if !matcher.holds(got) {
            found.push(differs());
        }
        return;
    }
    match (expected, got) {
        (Value::Object(wanted), Value::Object(members)) => {
            for (name, expected) in wanted {
                let path = member_path(path, name);
                match members.get(name) {
                    Some(got) => compare(expected, got, extent, &path, found),
                    None => found.push(Difference { path, expected: Some(expected.clone()), got: None }),
                }
            }
            if !extent.open(wanted) {
                for (name, got) in members.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                    found.push(Difference { path: member_path(path, name), expected: None, got: Some(got.clone()) });
                }
            }
        }
        (Value::Array(wanted), Value::Array(items)) if wanted.len() == items.len() => {
            for (index, (expected, got)) in wanted.iter().zip(items).enumerate() {
                compare(expected, got, extent, &format!("{path}[{}]", index + 1), found);
            }
        }
        _ if same(expected, got) => {}
        _ => found.push(differs()),
    }
}

/// The key path of member `name` of what is at `path`.
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

/// Puts `patch` at the key path `parts` of `target`: mappings are merged, null removes, all else replaces.
///
/// # Errors
/// An index of what is no list, or past its end.
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
            let items = target.as_array_mut().ok_or_else(|| format!("[{index}] of what is not a list"))?;
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
            let item = items.get_mut(at).ok_or_else(|| format!("[{index}] of a list of {length}"))?;
            merge(item, rest, patch)
        }
    }
}

/// `value` as an object, made one if it is none.
fn object(value: &mut Value) -> &mut serde_json::Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(serde_json::Map::new());
    }
    value.as_object_mut().expect("it was just made one")
}
