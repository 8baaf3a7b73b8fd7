//! Lines of an access log in the place of messages: `format` of file-log, tcp-log and udp-log, `line_format` of syslog.
//!
//! The line is made when an entry is sent, of the message that the queue holds: what redaction and snippets left of it.

use bytes::Bytes;
use logphase_protocol::format::{KongEntry, Options, Source, Template, is_json};
use serde_json::Value;

use crate::sink::rewrite::{Rewrite, RewritingSink};
use crate::sink::{ConfigError, Opened, Sink};

/// A compiled format.
#[derive(Debug, Clone)]
pub(super) struct LineFormat(Template);

impl LineFormat {
    /// The format in the member `field` of a plugin's `config`, if it has one.
    ///
    /// # Errors
    /// Every mistake of the template.
    pub(super) fn of(config: &Value, field: &str) -> Result<Option<Self>, Vec<ConfigError>> {
        let Some(text) = config.get(field).and_then(Value::as_str) else { return Ok(None) };
        // Envoy's own formats end in a line end, which sinks add.
        let text = text.strip_suffix('\n').unwrap_or(text);
        if text.contains(['\n', '\r']) {
            let error = ConfigError::new(field, "the format has a line end, and a message is one line");
            return Err(vec![error.with_help("write it as one line; a line end at its end is not needed")]);
        }
        let options = Options { escape: is_json(text), ..Options::new(Source::Kong) };
        Template::new(text, &options).map(|template| Some(Self(template))).map_err(|errors| {
            let errors = errors.into_iter().map(|error| {
                let place = error.span.start;
                let refused = ConfigError::new(field, format!("{}, at byte {place} of the format", error.message));
                if error.help.is_empty() { refused } else { refused.with_help(error.help) }
            });
            errors.collect()
        })
    }

    /// The line of a message. What is no message stays as it is.
    pub(super) fn line(&self, message: &Bytes) -> Bytes {
        let Ok(entry) = KongEntry::parse(message) else { return message.clone() };
        let mut line = Vec::new();
        self.0.render(&entry, &mut line);
        one_line(line).into()
    }
}

/// Replaces line ends in values by escapes, so that no sender can write lines of its own.
pub(crate) fn one_line(line: Vec<u8>) -> Vec<u8> {
    if !line.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return line;
    }
    let escaped = line.iter().flat_map(|byte| match byte {
        b'\n' => &b"\\n"[..],
        b'\r' => b"\\r",
        byte => std::slice::from_ref(byte),
    });
    escaped.copied().collect()
}

/// Makes `sink` send lines in the `format` of `config`, if it has one.
///
/// # Errors
/// Every mistake of the template.
pub(super) fn formatted(config: &Value, sink: Box<dyn Sink>) -> Opened {
    Ok(match LineFormat::of(config, "format")? {
        Some(format) => Box::new(RewritingSink { rewrite: format, sink }),
        None => sink,
    })
}

impl Rewrite for LineFormat {
    fn rewrite(&self, message: &Bytes) -> Bytes {
        self.line(message)
    }

    fn preview(&self, message: &Bytes) -> Vec<Bytes> {
        vec![self.line(message)]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(format: &str, message: &Value) -> String {
        let format = LineFormat::of(&json!({"format": format}), "format").unwrap().unwrap();
        String::from_utf8(format.line(&Bytes::from(message.to_string())).to_vec()).unwrap()
    }

    /// Scenario: a header with line ends, in a format that is text and in one that is JSON.
    /// Guarantees: the line stays one line; that of JSON stays JSON.
    #[test]
    fn one_line_each() {
        let message = json!({"request": {"headers": {"x": "a\r\nb\"c"}}});
        assert_eq!(line("<%REQ(X)%>\n", &message), "<a\\r\\nb\"c>");
        assert_eq!(line(r#"{"x": "%REQ(X)%"}"#, &message), r#"{"x": "a\r\nb\"c"}"#);
        let format = LineFormat::of(&json!({"format": "%REQ(X)%"}), "format").unwrap().unwrap();
        assert_eq!(format.line(&Bytes::from_static(b"no message")), "no message");
    }

    /// Scenario: formats with mistakes.
    /// Guarantees: each is refused at the field, with its place.
    #[test]
    fn mistakes() {
        for (format, text) in [
            ("a\nb", "line end"),
            ("%NOPE%", "unknown operator `NOPE`, at byte 1 of the format"),
            ("%FILTER_STATE(x)%", "do not have FILTER_STATE"),
        ] {
            let errors = LineFormat::of(&json!({"format": format}), "format").unwrap_err();
            assert!(errors[0].to_string().contains(text) || format!("{errors:?}").contains(text), "{errors:?}");
        }
        assert!(LineFormat::of(&json!({}), "format").unwrap().is_none());
    }
}
