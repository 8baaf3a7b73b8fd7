//! A text that the messages of a tap must have.

use memchr::memmem::Finder;

/// A text, as a person types it. A message has it if it is in a string, a name, or a value of it.
#[derive(Debug, Clone)]
pub struct Text {
    /// Each way to write it in JSON.
    forms: Vec<Finder<'static>>,
}

impl Text {
    /// Looks for `text`; `None` if it is empty.
    pub fn new(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let escaped = serde_json::to_string(text).unwrap_or_default();
        let escaped = escaped.trim_start_matches('"').trim_end_matches('"').to_owned();
        // Kong's encoder writes a slash in a string as `\/`.
        let kong = escaped.replace('/', "\\/");
        let mut forms = vec![text.to_owned(), escaped, kong];
        forms.dedup();
        Some(Self { forms: forms.iter().map(|form| Finder::new(form).into_owned()).collect() })
    }

    /// Whether `message` has it.
    pub(super) fn is_in(&self, message: &[u8]) -> bool {
        self.forms.iter().any(|form| form.find(message).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: texts with slashes, quotes and members, in messages that escape them or not. Guarantees: a text is found as a person reads it.
    #[test]
    fn finds_what_a_person_reads() {
        let message =
            br#"{"request":{"uri":"\/orders\/7"},"agent":"say \"hi\"","plain":"a/b","n":42,"name":"J\u00fcrgen"}"#;
        for has in ["/orders/7", "orders", "say \"hi\"", "a/b", "\"n\":42", "request"] {
            assert!(Text::new(has).unwrap().is_in(message), "{has}");
        }
        for lacks in ["/orders/8", "hi!", "A/B"] {
            assert!(!Text::new(lacks).unwrap().is_in(message), "{lacks}");
        }
        assert!(Text::new("").is_none());
    }
}
