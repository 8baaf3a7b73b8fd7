//! The fields of a line for people: what others wrote in them, on one line and without hidden characters.

use logphase_io::printable;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;

/// Writes `message name=value ...`.
pub(super) fn printable_fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    let fields = debug_fn(|writer, field, value| {
        let text = format!("{value:?}");
        let text = printable::line(&text);
        match field.name() {
            "message" => write!(writer, "{text}"),
            name if writer.has_ansi_escapes() => write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{text}"),
            name => write!(writer, "{name}={text}"),
        }
    });
    fields.delimited(" ")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Scenario: every kind of hidden character in the message and in fields, shown as text and as a value of Rust.
    /// Guarantees: one line for each, without any of them.
    #[test]
    fn nothing_hidden_reaches_the_log() {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer().without_time().with_target(false).with_ansi(false);
        let lines = lines.with_writer(move || writer.clone()).map_fmt_fields(|_| printable_fields());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let odd = format!("a{}\nb", printable::EVERY_KIND);
            tracing::info!(shown = %odd, value = ?odd, text = odd, "the message {odd}");
            tracing::warn!(count = 3, "plain");
        });
        let text = String::from_utf8(written.0.lock().clone()).expect("text");
        assert!(!text.contains(|c| printable::is_hidden(c) && c != '\n'), "{text:?}");
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(
            text.contains("INFO the message a\\u{1}\\u{1b}[2J") && text.ends_with(" WARN plain count=3\n"),
            "{text}"
        );
    }
}
