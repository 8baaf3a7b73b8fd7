//! Hides values from a tap that Lua hides from a sink.

use logphase_script::transaction::{split_array, split_object, text};

/// Replaces a string or number that is not sent.
pub(super) const NOT_SENT: &[u8] = br#""[not sent]""#;

/// `before` (valid JSON) with each string and number replaced unless `sent` has the same one in the same place. Names,
/// `true`, `false` and `null` stay.
pub(super) fn only_what_is_sent(before: &[u8], sent: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(before.len());
    keep(before, Some(sent), &mut out);
    out
}

fn keep(before: &[u8], sent: Option<&[u8]>, out: &mut Vec<u8>) {
    if sent == Some(before) {
        return out.extend_from_slice(before);
    }
    match before.first() {
        Some(b'{') => {
            let sent_members = sent.map(|sent| (sent, split_object(sent)));
            out.push(b'{');
            for (at, (name, value)) in split_object(before).into_iter().enumerate() {
                let name = name.of(before);
                let same = sent_members.as_ref().and_then(|(sent, members)| {
                    let found = members.iter().find(|(other, _)| same_text(other.of(sent), name));
                    found.map(|(_, value)| value.of(sent))
                });
                out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
                out.extend_from_slice(name);
                out.extend_from_slice(b"\":");
                keep(value.of(before), same, out);
            }
            out.push(b'}');
        }
        Some(b'[') => {
            let sent_elements = sent.map(|sent| (sent, split_array(sent)));
            out.push(b'[');
            for (at, value) in split_array(before).into_iter().enumerate() {
                let same = sent_elements.as_ref().and_then(|(sent, elements)| Some(elements.get(at)?.of(sent)));
                if at > 0 {
                    out.push(b',');
                }
                keep(value.of(before), same, out);
            }
            out.push(b']');
        }
        Some(b't' | b'f' | b'n') => out.extend_from_slice(before),
        Some(b'"') if sent.is_some_and(|sent| same_string(before, sent)) => out.extend_from_slice(before),
        _ => out.extend_from_slice(NOT_SENT),
    }
}

fn same_string(a: &[u8], b: &[u8]) -> bool {
    let content = |text: &[u8]| text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).map(<[u8]>::to_vec);
    content(a).zip(content(b)).is_some_and(|(a, b)| same_text(&a, &b))
}

/// Whether the contents of two JSON strings are the same text, however they are escaped.
fn same_text(a: &[u8], b: &[u8]) -> bool {
    a == b || text::unescape(a) == text::unescape(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(before: &str, sent: &str) -> String {
        String::from_utf8(only_what_is_sent(before.as_bytes(), sent.as_bytes())).unwrap()
    }

    /// Scenario: members that Lua removed, replaced, moved and left; in objects and arrays; written with escapes.
    /// Guarantees: only strings and numbers that are sent in the same place are shown; names and everything that is sent
    /// stay as they are; the result is valid JSON.
    #[test]
    fn what_is_not_sent_is_not_seen() {
        let same = r#"{"a":[1.50,{"b":"x\/y"}],"c":null}"#;
        assert_eq!(kept(same, same), same);
        let before =
            r#"{"h":{"authorization":"Bearer s3cret","host":"a"},"n":42,"ok":true,"l":["p","q",[7]],"e":{},"f":[]}"#;
        let sent = r#"{"h":{"host":"a"},"n":43,"l":["p"],"stolen":"Bearer s3cret","f":{}}"#;
        let seen = kept(before, sent);
        let expected = concat!(
            r#"{"h":{"authorization":"[not sent]","host":"a"},"n":"[not sent]","ok":true,"#,
            r#""l":["p","[not sent]",["[not sent]"]],"e":{},"f":[]}"#
        );
        assert_eq!(seen, expected);
        assert_eq!(kept(r#"{"a":{"b":"x"}}"#, r#"{"a":"x"}"#), r#"{"a":{"b":"[not sent]"}}"#);
        assert_eq!(kept(r#"{"a\/b":"x\u0041"}"#, r#"{"a/b":"xA","c":1}"#), r#"{"a\/b":"x\u0041"}"#);
    }
}
