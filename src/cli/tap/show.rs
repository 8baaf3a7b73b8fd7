//! Formats one message of a tap.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use similar::{ChangeTag, TextDiff};

use crate::cli::pretty::printable_pretty;
use logphase_io::printable;

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// Indented JSON, with a heading.
    Pretty {
        /// Whether to use colours.
        color: bool,
    },
    /// JSON lines.
    Json,
}

/// A line of the stream: a message, or the number of skipped messages.
#[derive(Debug, Deserialize)]
pub(super) struct TapLine<'a> {
    pub skipped: Option<u64>,
    #[serde(default)]
    plugin: String,
    instance_name: Option<String>,
    #[serde(default)]
    at: i64,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    not_sent: Option<String>,
    #[serde(default)]
    failed: Vec<String>,
}

/// Formats the message `line`, which was parsed from `text`.
pub(super) fn render(line: &TapLine<'_>, text: &[u8], form: Form) -> Vec<u8> {
    let color = match form {
        Form::Json => return text.to_vec(),
        Form::Pretty { color } => color,
    };
    let mut out = paint(color, "1", &printable::line(&title(line)));
    out.push('\n');
    let indented = |json: Option<&RawValue>| json.map(shown);
    match (indented(line.before), indented(line.after)) {
        (Some(before), Some(after)) => compare(&before, &after, color, &mut out),
        (Some(one), None) | (None, Some(one)) => out.push_str(&one),
        (None, None) => {}
    }
    out.push('\n');
    out.into_bytes()
}

/// A message, indented; a line of an access log as it is.
fn shown(json: &RawValue) -> String {
    match serde_json::from_str::<String>(json.get()) {
        Ok(line) => printable::lines(&line).into_owned() + "\n",
        Err(_) => printable_pretty(json.get().as_bytes()),
    }
}

fn title(line: &TapLine<'_>) -> String {
    let time = Timestamp::from_millisecond(line.at).map(|time| format!("{time:.3}")).unwrap_or_default();
    let mut title = format!("# {time} {}", line.plugin);
    if let Some(instance) = &line.instance_name {
        title.push_str(&format!(" ({instance})"));
    }
    if let Some(why) = &line.not_sent {
        title.push_str(&format!(", not sent: {why}"));
    }
    if !line.failed.is_empty() {
        title.push_str(&format!(", Lua failed: {}", line.failed.join(", ")));
    }
    title
}

/// Appends the diff from the message before Lua to the message after it.
fn compare(before: &str, after: &str, color: bool, out: &mut String) {
    for change in TextDiff::from_lines(before, after).iter_all_changes() {
        let line = change.value().trim_end_matches('\n');
        let (code, sign) = match change.tag() {
            ChangeTag::Delete => ("31", '-'),
            ChangeTag::Insert => ("32", '+'),
            ChangeTag::Equal => ("", ' '),
        };
        out.push_str(&paint(color, code, &format!("{sign} {line}")));
        out.push('\n');
    }
}

fn paint(color: bool, code: &str, text: &str) -> String {
    if color && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, color: bool) -> String {
        let line: TapLine<'_> = serde_json::from_str(text).unwrap();
        String::from_utf8(render(&line, text.as_bytes(), Form::Pretty { color })).unwrap()
    }

    /// Scenario: a message with both sides; one that is not sent; a line of an access log; one with a control character.
    /// Guarantees: the differences are marked, numbers keep their spelling; the heading says why nothing was sent; the
    /// control character is escaped.
    #[test]
    fn pretty_messages() {
        let both = r#"{"plugin":"http-log","instance_name":"a","at":1764039600123,"before":{"a":1.50,"b":"[not sent]"},"after":{"a":1.50,"c":2},"failed":["x","y"]}"#;
        insta::assert_snapshot!(shown(both, false), @r#"
        # 2025-11-25T03:00:00.123Z http-log (a), Lua failed: x, y
          {
            "a": 1.50,
        -   "b": "[not sent]"
        +   "c": 2
          }

        "#);
        let lost = r#"{"plugin":"tcp-log","instance_name":null,"at":0,"not_sent":"because","before":null}"#;
        insta::assert_snapshot!(shown(lost, false), @"# 1970-01-01T00:00:00.000Z tcp-log, not sent: because\n\n");
        let line = r#"{"plugin":"mesh-tcp","instance_name":"h:1","at":0,"after":"a \"line\""}"#;
        insta::assert_snapshot!(shown(line, false), @r#"
        # 1970-01-01T00:00:00.000Z mesh-tcp (h:1)
        a "line"

        "#);
        let evil = "{\"plugin\":\"\u{2028}\",\"at\":0,\"after\":{\"a\":\"\u{9b}31m\u{202e}\"}}";
        let shown = shown(evil, true);
        assert!(shown.contains("\"\\u009b31m\\u202e\"") && shown.contains(r"\u{2028}"), "{shown}");
    }
}
