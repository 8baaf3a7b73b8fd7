//! The tokens of a snippet, and its depth of nesting, which is checked before a recursive parser sees it.

use crate::source::lexer::{comment, long_bracket};

/// The line, from 1, at which `source` exceeds `limit` levels of brackets and blocks.
pub(super) fn too_deep(source: &str, limit: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = "";
    for (token, line) in Tokens::of(source) {
        match token {
            "(" | "{" | "[" | "function" | "do" | "repeat" => depth += 1,
            // An `if` expression of Luau has no `end`.
            "if" if !begins_an_expression(before) => depth += 1,
            ")" | "}" | "]" | "end" | "until" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return Some(line);
        }
        before = token;
    }
    None
}

pub(crate) fn begins_an_expression(before: &str) -> bool {
    const WORDS: [&str; 4] = ["return", "and", "or", "not"];
    WORDS.contains(&before) || before.starts_with(|c| "=(,[{+-*/%^.<>#".contains(c))
}

/// The words and symbols of a source with their lines, without strings and comments.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (&'a str, usize);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = self.rest.chars().next()?;
            if first.is_alphanumeric() || first == '_' {
                let word = |c: char| !(c.is_alphanumeric() || c == '_');
                let length = self.rest.find(word).unwrap_or(self.rest.len());
                return Some((self.take(length), self.line));
            }
            let length = match first {
                '"' | '\'' | '`' => quoted(self.rest, first),
                '-' if self.rest.starts_with("--") => comment(self.rest),
                '[' => long_bracket(self.rest).unwrap_or(0),
                c if c.is_whitespace() => c.len_utf8(),
                _ => 0,
            };
            if length == 0 {
                return Some((self.take(first.len_utf8()), self.line));
            }
            let passed = self.take(length);
            self.line += passed.matches('\n').count();
        }
    }
}

impl<'a> Tokens<'a> {
    pub(super) fn of(source: &'a str) -> Self {
        Self { rest: source, line: 1 }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }
}

/// The length in bytes of the quoted string at the front. Unlike for the translation, a line end does not end it.
pub(crate) fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::too_deep;

    /// Scenario: brackets, blocks, strings, comments and long brackets, at a limit of three.
    /// Guarantees: strings and comments do not count, blocks end, and the line is that of the fourth level.
    #[test]
    fn levels_are_counted() {
        for sound in [
            "return (((1)))",
            "if a then if b then if c then d = 1 end end end",
            "for i = 1, 2 do end for i = 1, 2 do end while x do end repeat until y",
            "return '((((', \"(\\\"(((\", [[((((]], [==[ ]] (((( ]==] -- ((((",
            "--[[ (((( ]] return 1 --[=[ (((( ]=]",
            "local x = if a then 1 else 2 local y = if a then 1 else 2 local z = {(if a then 1 else 2)}",
            "if a then b() elseif c then d() elseif e then f() elseif g then h() end",
        ] {
            assert_eq!(too_deep(sound, 3), None, "{sound}");
        }
        for (deep, line) in [
            ("return ((((1))))", 1),
            ("\n\nreturn {{\n{{", 4),
            ("if a then\nif b then\nif c then\nif d then", 4),
            ("do do do\ndo end end end end", 2),
            ("--[[\n\n]] return a[b[c[d[1]]]]", 3),
        ] {
            assert_eq!(too_deep(deep, 3), Some(line), "{deep}");
        }
    }
}
