//! Text that somebody else wrote, for terminals, logs and other plain text.
//!
//! A control character can move the cursor, set a title or clear what was printed before; a direction override shows text
//! in another order than it is read; a line separator begins a line that nobody wrote; an invisible character hides a
//! difference. All of them are shown as escapes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether `character` is not shown as itself everywhere: a control character (C0, DEL, C1), a line or paragraph separator,
/// or one that Unicode calls a format character or ignorable (direction marks and overrides, zero-width characters, the
/// byte order mark, variation selectors, tags).
pub fn is_hidden(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Appends `character`, as an escape like `\n` or `\u{9b}` if it is hidden.
pub fn push(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        hidden if is_hidden(hidden) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(hidden));
        }
        shown => out.push(shown),
    }
}

/// `text` as one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden, push)
}

/// `text` with its line breaks and tabs.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| is_hidden(character) && !is_layout(character), push)
}

/// JSON with its line breaks and tabs between values. What is hidden in a string is written as JSON writes it (`\u009b`),
/// so that the text has the same meaning as before.
pub fn json(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |character| is_hidden(character) && !is_layout(character),
        |out, hidden| {
            for unit in hidden.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

/// Bytes as one line. Those that are not UTF-8 are written like `\xff`.
pub fn bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&line(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn is_layout(character: char) -> bool {
    matches!(character, '\n' | '\t')
}

fn escaped(text: &str, hidden: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let Some(first) = text.find(&hidden) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for character in text[first..].chars() {
        if hidden(character) { escape(&mut out, character) } else { out.push(character) }
    }
    Cow::Owned(out)
}

/// One text with every kind of hidden character, for tests of what is printed.
pub const EVERY_KIND: &str = "\u{1}\u{1b}[2J\r\u{7f}\u{85}\u{9b}31m\u{ad}\u{200b}\u{200d}\u{200e}\u{202e}\u{2028}\u{2029}\u{2066}\u{feff}\u{e0041}";

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: text in many scripts, and every kind of hidden character, as a line, as lines, as JSON and as bytes.
    /// Guarantees: ordinary text stays; what is hidden is written as an escape; JSON has the same value as before.
    #[test]
    fn hidden_characters_are_escaped() {
        for plain in ["", "a b", "Grüße, 日本語, ไทย, עברית, हिन्दी 😀 é €"] {
            assert_eq!((line(plain), lines(plain), json(plain), bytes(plain.as_bytes())), {
                let plain = Cow::Borrowed(plain);
                (plain.clone(), plain.clone(), plain.clone(), plain.into_owned())
            });
        }
        assert!(EVERY_KIND.chars().all(|character| is_hidden(character) || character.is_ascii_graphic()));
        assert_eq!(line("a\n\tb\u{9b}\u{202e}"), "a\\n\\tb\\u{9b}\\u{202e}");
        assert_eq!(lines("a\r\n\tb\u{2028}"), "a\\r\n\tb\\u{2028}");
        assert_eq!(json("{\n\t\"a\": \"\u{7f}\u{e0041}\"}"), "{\n\t\"a\": \"\\u007f\\udb40\\udc41\"}");
        assert_eq!(bytes(b"a\xff\xed\xa0\x80\n\xc2\x9b"), "a\\xff\\xed\\xa0\\x80\\n\\u{9b}");
    }

    proptest::proptest! {
        /// Scenario: any text and any bytes. Guarantees: nothing hidden is left but what lays out lines.
        #[test]
        fn nothing_hidden_is_left(text in "(?s).{0,60}", raw in proptest::collection::vec(0u8.., 0..60)) {
            proptest::prop_assert!(!line(&text).chars().any(is_hidden));
            proptest::prop_assert!(!bytes(&raw).chars().any(is_hidden));
            let left = |c: char| is_hidden(c) && c != '\n' && c != '\t';
            proptest::prop_assert!(!lines(&text).chars().any(left) && !json(&text).chars().any(left));
        }
    }
}
