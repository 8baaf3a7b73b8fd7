//! Conditions on the messages that a tap shows.

use logphase_script::transaction::{split_object, text};

/// A condition: a member of the message has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The path of the member.
    path: Vec<String>,
    /// The text of a string, or the JSON of any other value.
    value: String,
}

impl Condition {
    /// Parses `KEY=VALUE`. A dot in the key leads into an object; `\.` is a dot in a name. `None` without a key or `=`.
    pub fn parse(condition: &str) -> Option<Self> {
        let (key, value) = condition.split_once('=').filter(|(key, _)| !key.is_empty())?;
        let mut path = vec![String::new()];
        let mut characters = key.chars().peekable();
        while let Some(character) = characters.next() {
            let name = path.last_mut()?;
            match character {
                '\\' if characters.next_if_eq(&'.').is_some() => name.push('.'),
                '.' => path.push(String::new()),
                other => name.push(other),
            }
        }
        Some(Self { path, value: value.to_owned() })
    }

    /// Whether it holds for `message`, which is valid JSON.
    pub(super) fn holds(&self, message: &[u8]) -> bool {
        let mut at = message;
        for name in &self.path {
            let members = split_object(at);
            let found = members.iter().find(|(key, _)| *text::unescape(key.of(at)) == *name.as_bytes());
            let Some((_, value)) = found else { return false };
            at = value.of(at);
        }
        match at.strip_prefix(b"\"").and_then(|content| content.strip_suffix(b"\"")) {
            Some(content) => *text::unescape(content) == *self.value.as_bytes(),
            None => at == self.value.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: conditions on numbers, strings, names with dots, missing members, and members of values that are not objects.
    /// Guarantees: a condition holds only for its value; text without a key or `=` is invalid.
    #[test]
    fn conditions() {
        let message =
            br#"{"response":{"status":500},"request":{"uri":"\/a=b","headers":{"x.y":"1"}},"list":[1],"e":""}"#;
        let good = ["response.status=500", "request.uri=/a=b", r"request.headers.x\.y=1", "e=", "list=[1]"];
        for condition in good {
            assert!(Condition::parse(condition).unwrap().holds(message), "{condition}");
        }
        let bad = [
            "response.status=50",
            "response.status.x=500",
            "request.uri=",
            "request.headers.x.y=1",
            "nothing=",
            "response=",
        ];
        for condition in bad {
            assert!(!Condition::parse(condition).unwrap().holds(message), "{condition}");
        }
        assert!(Condition::parse("status").is_none() && Condition::parse("=5").is_none());
    }
}
