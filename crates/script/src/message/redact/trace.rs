//! Which values each rule changes, for people who look at it.

use super::action::Action;
use super::{RedactAction, Redaction, Rule, Target};
use crate::message::Message;
use crate::transaction::{split_array, split_object, text};

/// Levels of nesting down to which a change is told apart from others.
const MAX_DEPTH: usize = 64;

/// A value that a rule has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// What the rule is about, like `header authorization`.
    pub rule: String,
    /// What it does to the value.
    pub action: RedactAction,
    /// The key path of the value.
    pub path: String,
}

impl Redaction {
    /// Applies the rules to `message`. Returns what they change, `most` values at most.
    pub(in crate::message) fn traced(&self, message: &mut Message, most: usize) -> Vec<Redacted> {
        let mut found = Vec::new();
        if self.rules.is_empty() {
            return found;
        }
        let mut before = message.to_vec();
        for rule in &self.rules {
            rule.apply(message);
            let after = message.to_vec();
            let mut paths = Paths { most: most - found.len(), found: Vec::new() };
            paths.differences(&before, &after, &mut String::new(), 0);
            let one = |path| Redacted { rule: rule.name(), action: rule.action.configured(), path };
            found.extend(paths.found.into_iter().map(one));
            if found.len() >= most {
                break;
            }
            before = after;
        }
        found
    }
}

impl Rule {
    fn name(&self) -> String {
        match &self.target {
            Target::Header(name) => format!("header {name}"),
            Target::Query(name) => format!("query {name}"),
            Target::Cookie(name) => format!("cookie {name}"),
            Target::Key(path) => format!("key {}", path.text()),
            Target::Pattern(regex) => format!("pattern {}", regex.as_str()),
        }
    }
}

impl Action {
    fn configured(&self) -> RedactAction {
        match self {
            Self::Remove => RedactAction::Remove,
            Self::Mask => RedactAction::Mask,
            Self::Hash(_) => RedactAction::Hash,
        }
    }
}

/// Key paths of values that differ.
struct Paths {
    most: usize,
    found: Vec<String>,
}

impl Paths {
    /// Finds where `after` differs from `before`, both JSON, at `path`.
    fn differences(&mut self, before: &[u8], after: &[u8], path: &mut String, depth: usize) {
        if before == after || self.found.len() == self.most {
            return;
        }
        match (before.first(), after.first()) {
            (Some(b'{'), Some(b'{')) if depth < MAX_DEPTH => {
                let kept = split_object(after);
                let mut from = 0;
                for (name, value) in split_object(before) {
                    let length = push_name(path, &text::unescape(name.of(before)));
                    // Rules remove members and add none, so that the order stays.
                    let same = kept[from..].iter().position(|(other, _)| other.of(after) == name.of(before));
                    match same {
                        Some(at) => {
                            self.differences(value.of(before), kept[from + at].1.of(after), path, depth + 1);
                            from += at + 1;
                        }
                        None => self.push(path),
                    }
                    path.truncate(length);
                }
            }
            (Some(b'['), Some(b'[')) if depth < MAX_DEPTH => {
                let (before_elements, after_elements) = (split_array(before), split_array(after));
                if before_elements.len() != after_elements.len() {
                    return self.push(path);
                }
                for (at, (one, other)) in before_elements.into_iter().zip(after_elements).enumerate() {
                    let length = path.len();
                    path.push_str(&format!("[{}]", at + 1));
                    self.differences(one.of(before), other.of(after), path, depth + 1);
                    path.truncate(length);
                }
            }
            _ => self.push(path),
        }
    }

    fn push(&mut self, path: &str) {
        if self.found.len() < self.most {
            self.found.push(path.to_owned());
        }
    }
}

/// Appends a name to a key path. Returns the length before.
fn push_name(path: &mut String, name: &[u8]) -> usize {
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(&String::from_utf8_lossy(name).replace('.', "\\."));
    length
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::message::{BodyOptions, Include, KeyPath, Mode, Shape, ShapeOptions, Style};
    use crate::transaction::{Limits, Transaction};

    fn traced(message: &Value, rules: &Value, most: usize) -> Vec<String> {
        let transaction = Transaction::parse(Bytes::from(message.to_string()), &Limits::default()).unwrap();
        let options = ShapeOptions {
            body: &BodyOptions::new(Include::OFF, 100),
            redact: &[],
            hash_key: Some("0123456789abcdef"),
            kong_quirks: false,
        };
        let shape = Shape::of(&json!({ "redact": rules }), options).unwrap();
        let mut message = Message::new(transaction, Style::default());
        message.edit(&KeyPath::parse("set.by", false), Some(b"\"token=1\"".to_vec()), Mode::Set).unwrap();
        let plain = message.to_vec();
        let found = message.redactions(&shape, most);
        assert_eq!(message.to_vec(), plain, "looking changes nothing");
        found.iter().map(|one| format!("{} {:?} {}", one.rule, one.action, one.path)).collect()
    }

    /// Scenario: a rule of each kind, on members of a transaction and of a snippet, in lists and under names with dots; one that meets
    /// nothing, and one whose value an earlier rule has removed.
    /// Guarantees: each changed value has the rule that changed it, what it did and the key path; nothing else is named, and no value is.
    #[test]
    fn each_rule_says_what_it_changed() {
        let message = json!({
            "request": {"headers": {"x-token": ["a", "b"], "cookie": "sid=1; q=2"}, "uri": "/p?key=1", "querystring": {"key": "1"}},
            "a.b": {"list": [{"pan": "4111"}, {"pan": "no"}]}, "same": "x",
        });
        let rules = json!([
            {"header": "x-token", "action": "remove"}, {"header": "x-token"}, {"query": "key"}, {"cookie": "sid", "action": "hash"},
            {"pattern": "^4[0-9]{3}$"}, {"key": "nothing"}, {"pattern": "token=[0-9]"},
        ]);
        let all = traced(&message, &rules, 100);
        let expected = [
            "header x-token Remove request.headers.x-token",
            "query key Mask request.uri",
            "query key Mask request.querystring.key",
            "cookie sid Hash request.headers.cookie",
            r"pattern ^4[0-9]{3}$ Mask a\.b.list[1].pan",
            "pattern token=[0-9] Mask set.by",
        ];
        assert_eq!(all, expected);
        assert_eq!(traced(&message, &rules, 2).len(), 2);
    }
}
