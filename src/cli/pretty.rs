//! Pretty-printing of JSON.

use logphase_io::printable;

/// As [`pretty`], with what is hidden in strings as escapes of JSON, for a terminal.
pub(super) fn printable_pretty(json: &[u8]) -> String {
    printable::json(&String::from_utf8_lossy(&pretty(json))).into_owned()
}

/// Indents `json`, which must be valid. Copies names, strings and numbers byte for byte.
pub(super) fn pretty(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut at = 0;
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', depth * 2));
    };
    while let Some(&byte) = json.get(at) {
        let next = json[at + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
        match byte {
            b'"' => {
                let end = string_end(json, at);
                out.extend_from_slice(&json[at..end]);
                at = end;
                continue;
            }
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                if !matches!(next, Some(b'}' | b']')) {
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ if byte.is_ascii_whitespace() => {}
            _ => out.push(byte),
        }
        at += 1;
    }
    out.push(b'\n');
    out
}

/// One past the closing quote of the string that begins at `start`.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::pretty;

    /// Scenario: nested and empty containers, escapes, a number with a trailing zero.
    /// Guarantees: only whitespace between tokens changes.
    #[test]
    fn lays_out() {
        let laid = pretty(br#"{"a":[1.50,{}], "b\"c":{"d":[],"e":"x,y: {"}}"#);
        let expected =
            "{\n  \"a\": [\n    1.50,\n    {}\n  ],\n  \"b\\\"c\": {\n    \"d\": [],\n    \"e\": \"x,y: {\"\n  }\n}\n";
        assert_eq!(String::from_utf8_lossy(&laid), expected);
    }
}
