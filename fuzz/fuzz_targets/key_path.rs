//! Key paths: any text, with and without quirks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logphase_script::message::{KeyPath, Message, Mode, Part, Style};
use logphase_script::transaction::{Limits, Transaction};
use serde::de::IgnoredAny;
use serde_json::Value;

const MARK: &str = "\"a value of our own\"";

// The first byte selects the quirks; the rest is the key.
fuzz_target!(|data: &[u8]| {
    let [quirks, text @ ..] = data else { return };
    let (quirks, Ok(text)) = (quirks & 1 == 1, std::str::from_utf8(text)) else { return };
    let path = KeyPath::parse(text, quirks);
    assert_eq!(path.text(), text);
    assert!(matches!(path.parts().first(), Some(Part::Name(_))), "it begins with a name: {path:?}");
    let indices = path.parts().iter().filter(|part| matches!(part, Part::Index(_))).count();
    assert!(!path.parts().contains(&Part::Index(0)), "indices count from 1: {path:?}");
    assert!(!quirks || indices == 0, "quirks know no indices: {path:?}");
    assert_eq!(path.parts().len() - indices, 1 + separators(text.as_bytes()), "{path:?}");
    check_edit(text, &path, quirks);
});

/// The number of separators by Kong's rule for dots.
fn separators(text: &[u8]) -> usize {
    text.windows(2).filter(|pair| pair[1] == b'.' && pair[0] != b'\\').count()
}

/// Checks that an edit at `path` has its value at the place that the text specifies.
fn check_edit(text: &str, path: &KeyPath, quirks: bool) {
    let empty = Transaction::parse("{}".into(), &Limits::default()).expect("an object is a transaction");
    let mut message = Message::new(empty, Style::of(quirks));
    let before = message.to_vec();
    let edited = message.edit(path, Some(MARK.into()), Mode::Set);
    let after = message.to_vec();
    serde_json::from_slice::<IgnoredAny>(&after).expect("a message is JSON");
    if edited.is_err() {
        assert_eq!(before, after, "a failed edit changes nothing");
    } else if path.parts().len() < 100 {
        // serde_json limits the nesting depth.
        let value: Value = serde_json::from_slice(&after).expect("a message is JSON");
        let expected = if quirks { as_kong(text) } else { text.replace("\\.", ".") };
        assert_eq!(find(&value, ""), Some(format!(".{expected}")), "{path:?}");
    }
}

/// Lua's `gsub("\\.", ".")`.
fn as_kong(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text.chars());
    while let Some(character) = rest.next() {
        let escapes = character == '\\' && rest.next().is_some();
        out.push(if escapes { '.' } else { character });
    }
    out
}

/// The key path of the mark in `value`, which is at `place`.
fn find(value: &Value, place: &str) -> Option<String> {
    match value {
        Value::String(text) => (MARK.trim_matches('"') == text).then(|| place.to_owned()),
        Value::Object(members) => members.iter().find_map(|(name, member)| find(member, &format!("{place}.{name}"))),
        Value::Array(elements) => {
            (1..).zip(elements).find_map(|(index, element)| find(element, &format!("{place}[{index}]")))
        }
        _ => None,
    }
}
