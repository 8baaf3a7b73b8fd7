//! Finds concatenations of fractional numbers, which Luau writes with other digits than LuaJIT.

use super::tokens::Tokens;

/// The lines, from 1, with a `..` next to parenthesized arithmetic that may result in a fraction.
pub(super) fn fractions(source: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut tokens = Tokens::of(source).peekable();
    let (mut before, mut closed) = (String::new(), false);
    while let Some((token, line)) = tokens.next() {
        let joins = token == "." && tokens.peek().is_some_and(|(next, _)| *next == ".") && before != ".";
        match token {
            "(" => groups.push(Group { call: is_operand(&before), joined: before == "..", fraction: false, line }),
            ")" => {
                let group = groups.pop();
                closed = group.as_ref().is_some_and(|group| !group.call && group.fraction);
                lines.extend(group.filter(|group| closed && group.joined).map(|group| group.line));
            }
            "/" | "*" | "^" | "%" => {
                if let Some(group) = groups.last_mut() {
                    group.fraction = true;
                }
            }
            _ => {}
        }
        if joins {
            tokens.next();
            if before == ")" && closed {
                lines.push(line);
            }
            before = "..".to_owned();
            continue;
        }
        before = token.to_owned();
    }
    lines.dedup();
    lines
}

struct Group {
    /// It holds the arguments of a call rather than an expression.
    call: bool,
    /// It is the right operand of `..`.
    joined: bool,
    fraction: bool,
    line: usize,
}

fn is_operand(before: &str) -> bool {
    const WORDS: [&str; 8] = ["return", "and", "or", "not", "in", "if", "while", "until"];
    let name = before.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    (name && !WORDS.contains(&before)) || matches!(before, ")" | "]")
}

#[cfg(test)]
mod tests {
    use super::fractions;

    /// Scenario: parenthesized arithmetic on either side of `..`, calls, strings and integer arithmetic.
    /// Guarantees: only the first are found, with their lines.
    #[test]
    fn divisions_beside_dots() {
        for (source, lines) in [
            ("return (a / 3) .. 'ms'", vec![1]),
            ("return 'x' ..\n(b * 0.5)", vec![2]),
            ("local x = 1\nreturn (a/b) .. ':' .. (c/d)", vec![2]),
            ("return f(a / 3) .. 'ms'", vec![]),
            ("return tostring(a / 3) .. (b) .. (c + 1)", vec![]),
            ("return '(1/2) .. ' .. x -- (1/2) .. y", vec![]),
            ("return string.format('%.14g', a / b) .. ''", vec![]),
            ("local function f(...) return (...) end", vec![]),
        ] {
            assert_eq!(fractions(source), lines, "{source}");
        }
    }
}
