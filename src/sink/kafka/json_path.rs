//! Looks up single members in a message's JSON without parsing the rest.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The names in a key path: dots separate names, and `\.` is a dot in a name.
pub(super) fn names(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next_if_eq(&'.').is_some() => names.last_mut().expect("never empty").push('.'),
            '.' => names.push(String::new()),
            _ => names.last_mut().expect("never empty").push(character),
        }
    }
    names
}

/// The JSON of the value at the path `names`, if there is one.
pub(super) fn find<'a>(json: &'a str, names: &[impl AsRef<str>]) -> Option<&'a str> {
    names.iter().try_fold(json, |json, name| {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        Member(name.as_ref()).deserialize(&mut deserializer).ok().flatten().map(RawValue::get)
    })
}

/// The value of `json`, if it is a string.
pub(super) fn string(json: &str) -> Option<Cow<'_, str>> {
    if !json.starts_with('"') {
        return None;
    }
    serde_json::from_str::<Text<'_>>(json).ok().map(|text| text.0)
}

/// The first element of `json`, if it is an array, as JSON.
pub(super) fn first(json: &str) -> Option<&str> {
    if !json.starts_with('[') {
        return None;
    }
    serde_json::from_str::<Vec<&RawValue>>(json).ok()?.first().map(|value| value.get())
}

#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Takes one member of an object and skips the others.
struct Member<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Text<'de>>()? {
            if name.0 == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: key paths with and without escaped dots. Guarantees: they are split as in Kong's serializer.
    #[test]
    fn splits_key_paths() {
        assert_eq!(names("a.b"), ["a", "b"]);
        assert_eq!(names(r"a\.b.c\d"), ["a.b", r"c\d"]);
        assert_eq!(names(""), [""]);
    }

    /// Scenario: members at several depths, with escapes, of several types, and missing.
    /// Guarantees: each present member is returned unchanged; a missing one, or a member of a value that is not an object,
    /// gives `None`.
    #[test]
    fn finds_members() {
        let json = r#"{"a":{"b":[1,{"c":2}],"d\u002ee":"x\ny"},"s":"t","n":null}"#;
        assert_eq!(find(json, &["a", "b"]), Some(r#"[1,{"c":2}]"#));
        let found = find(json, &names(r"a.d\.e")).expect("is there");
        assert_eq!(string(found).as_deref(), Some("x\ny"));
        assert_eq!(find(json, &["n"]), Some("null"));
        assert_eq!(first("[1,2]"), Some("1"));
        for missing in [&["x"][..], &["s", "t"], &["a", "b", "c"]] {
            assert_eq!(find(json, missing), None, "{missing:?}");
        }
        assert_eq!((string("7"), first("[]"), find("not JSON", &["a"])), (None, None, None));
    }
}
