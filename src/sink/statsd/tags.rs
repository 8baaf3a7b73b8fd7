//! Tags, in the notations that StatsD servers know.

use serde::Deserialize;

use super::line::{Lines, safe};

/// A notation of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TagStyle {
    /// `name:1|c|#key:value,key:value`
    Dogstatsd,
    /// `name,key=value,key=value:1|c`
    Influxdb,
    /// `name#key=value,key=value:1|c`
    Librato,
    /// `name[key=value,key=value]:1|c`
    Signalfx,
}

/// Tags in one notation.
#[derive(Debug)]
pub(super) struct Tags {
    style: TagStyle,
    text: String,
}

impl Tags {
    /// No tags.
    pub fn new(style: TagStyle) -> Self {
        Self { style, text: String::new() }
    }

    /// Adds a tag, if it has a value.
    pub fn add(&mut self, key: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        let (sign, breaks): (_, &[char]) = match self.style {
            TagStyle::Dogstatsd => (':', &[',', '|']),
            TagStyle::Influxdb | TagStyle::Librato => ('=', &[',', '|', ':', '=']),
            TagStyle::Signalfx => ('=', &[',', '|', ':', '=', '[', ']']),
        };
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(key);
        self.text.push(sign);
        self.text.push_str(&safe(value, breaks));
    }

    /// Adds the metric `name` with the tags.
    pub fn push(&self, lines: &mut Lines, name: [&str; 2], value: [&str; 4]) {
        let ([prefix, stat], [value, separator, kind, rate]) = (name, value);
        let (before, after): ([&str; 3], [&str; 2]) = match self.style {
            TagStyle::Dogstatsd => (["", "", ""], ["|#", &self.text]),
            TagStyle::Influxdb => ([",", &self.text, ""], ["", ""]),
            TagStyle::Librato => (["#", &self.text, ""], ["", ""]),
            TagStyle::Signalfx => (["[", &self.text, "]"], ["", ""]),
        };
        let [open, tags, close] = before;
        lines.push(&[prefix, ".", stat, open, tags, close, ":", value, separator, kind, rate, after[0], after[1]]);
    }
}
