//! Redaction: rules that mask, hash or remove values of a message before it is sent.

mod action;
mod cookie;
mod query;
mod rule;
mod trace;
mod walk;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::key_path::KeyPath;
use super::{Message, ShapeError, ShapeOptions};
use action::{Action, HashKey};
pub use rule::{RedactAction, RedactRule, compile_pattern};
pub use trace::Redacted;
use walk::Walk;

/// The rules of one plugin, in the order in which they are applied.
#[derive(Debug, Default)]
pub(super) struct Redaction {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    target: Target,
    action: Action,
}

/// The values that a rule selects.
#[derive(Debug)]
enum Target {
    Header(Box<str>),
    Query(Box<str>),
    Cookie(Box<str>),
    Key(KeyPath),
    Pattern(Box<Regex>),
}

impl Redaction {
    /// The rules of the settings, followed by those of the plugin's validated `config`.
    pub(super) fn of(config: &Value, options: ShapeOptions<'_>) -> Result<Self, ShapeError> {
        let wrong = |field: String, reason: String| ShapeError { field, reason };
        let plugin_rules =
            config.get("redact").filter(|rules| !rules.is_null()).map(Vec::<RedactRule>::deserialize).transpose();
        let plugin_rules =
            plugin_rules.map_err(|error| wrong("redact".to_owned(), error.to_string()))?.unwrap_or_default();
        let mut rules = Vec::with_capacity(options.redact.len() + plugin_rules.len());
        for rule in options.redact {
            let rule = Rule::of(rule, options);
            rules.push(rule.map_err(|(_, reason)| wrong("redact".to_owned(), format!("in the settings: {reason}")))?);
        }
        for (at, rule) in plugin_rules.iter().enumerate() {
            let rule = Rule::of(rule, options);
            rules.push(rule.map_err(|(field, reason)| wrong(format!("redact[{at}].{field}"), reason))?);
        }
        Ok(Self { rules })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Applies the rules in order. Each sees the result of those before it.
    pub(super) fn apply(&self, message: &mut Message) {
        self.rules.iter().for_each(|rule| rule.apply(message));
    }
}

impl Rule {
    fn apply(&self, message: &mut Message) {
        let Self { target, action } = self;
        let (encoder, root) = message.split();
        let walk = Walk { encoder: &encoder, action };
        match target {
            Target::Header(name) => walk.header(root, name),
            Target::Query(name) => walk.query(root, name),
            Target::Cookie(name) => walk.cookie(root, name),
            Target::Key(path) => walk.key(root, path.parts()),
            Target::Pattern(regex) => walk.pattern(root, regex),
        }
    }

    /// Compiles a rule. An error names the invalid field and the reason.
    fn of(rule: &RedactRule, options: ShapeOptions<'_>) -> Result<Self, (&'static str, String)> {
        let action = match (rule.action, options.hash_key) {
            (RedactAction::Remove, _) => Action::Remove,
            (RedactAction::Mask, _) => Action::Mask,
            (RedactAction::Hash, Some(key)) => Action::Hash(HashKey::new(key)),
            (RedactAction::Hash, None) => return Err(("action", NO_KEY.to_owned())),
        };
        let RedactRule { header, query, cookie, key, pattern, .. } = rule;
        let target = match (header, query, cookie, key, pattern) {
            (Some(name), None, None, None, None) => Target::Header(name.as_str().into()),
            (None, Some(name), None, None, None) => Target::Query(name.as_str().into()),
            (None, None, Some(name), None, None) => Target::Cookie(name.as_str().into()),
            (None, None, None, Some(key), None) => Target::Key(KeyPath::parse(key, options.kong_quirks)),
            (None, None, None, None, Some(text)) => {
                Target::Pattern(Box::new(compile_pattern(text).map_err(|reason| ("pattern", reason))?))
            }
            _ => return Err(("header", "a rule names exactly one of header, query, cookie, key, pattern".to_owned())),
        };
        Ok(Self { target, action })
    }
}

/// The error for a hash without a key.
pub const NO_KEY: &str = "`hash` needs a key: set LOGPHASE_REDACT_KEY (or redact_key in the settings) to a secret of at \
                          least 16 bytes";

#[cfg(test)]
mod tests;
