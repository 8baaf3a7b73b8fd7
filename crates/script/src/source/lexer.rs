//! The tokens of a snippet, in time linear in its text.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Name,
    Number,
    /// A quoted string, or one in long brackets.
    Text,
    Symbol,
}

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// Offset in the source, in bytes.
    pub(crate) start: usize,
    /// Line, from 1.
    pub(crate) line: usize,
}

impl<'a> Token<'a> {
    /// Whether this is the symbol or keyword `text`.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text && self.kind != Kind::Text
    }

    /// The content of a string without escapes.
    pub(crate) fn plain_text(&self) -> Option<&'a str> {
        let content = self.text.strip_prefix(['"', '\''])?;
        let content = content.get(..content.len().checked_sub(1)?)?;
        (self.kind == Kind::Text && !content.contains('\\')).then_some(content)
    }

    /// A name that is no keyword.
    pub(crate) fn name(&self) -> Option<&'a str> {
        (self.kind == Kind::Name && !KEYWORDS.contains(&self.text)).then_some(self.text)
    }

    /// Whether an expression can end with this token.
    pub(crate) fn ends_operand(&self) -> bool {
        match self.kind {
            Kind::Number | Kind::Text => true,
            Kind::Name => self.name().is_some() || ["nil", "true", "false", "end"].contains(&self.text),
            Kind::Symbol => [")", "]", "}", "..."].contains(&self.text),
        }
    }
}

/// The keywords of LuaJIT, except `goto`, which is a name in other places.
pub(crate) const KEYWORDS: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
];

/// The tokens of `source`, without white space and comments.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let (kind, length) = match first {
            c if c.is_whitespace() => (None, c.len_utf8()),
            '-' if rest.starts_with("--") => (None, comment(rest)),
            c if is_name(c) && !c.is_ascii_digit() => (Some(Kind::Name), run(rest, is_name)),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => (Some(Kind::Number), number(rest)),
            '0'..='9' => (Some(Kind::Number), number(rest)),
            '"' | '\'' | '`' => (Some(Kind::Text), quoted(rest, first)),
            '[' if long_bracket(rest).is_some() => (Some(Kind::Text), long_bracket(rest).unwrap_or(1)),
            c => (Some(Kind::Symbol), symbol(rest).unwrap_or(c.len_utf8())),
        };
        let text = &rest[..length];
        if let Some(kind) = kind {
            tokens.push(Token { kind, text, start: at, line });
        }
        line += memchr::memchr_iter(b'\n', text.as_bytes()).count();
        at += length;
    }
    tokens
}

/// Whether LuaJIT allows the character in a name: letters, digits and everything beyond ASCII.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

fn run(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of(c)).unwrap_or(text.len())
}

/// A number reaches as far as characters of numbers do, with signs after an exponent.
pub(crate) fn number(text: &str) -> usize {
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let exponents: &[u8] = if hexadecimal { b"pP" } else { b"eE" };
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let sign = matches!(byte, b'+' | b'-') && at > 0 && exponents.contains(&bytes[at - 1]);
        // `1..2` is no number, but `1 .. 2` written so that LuaJIT refuses it.
        if !(byte.is_ascii_alphanumeric() || byte == b'_' || sign || byte == b'.' && bytes.get(at + 1) != Some(&b'.')) {
            break;
        }
        at += 1;
    }
    at.max(1)
}

/// The length in bytes of the symbol of several characters at the front.
pub(crate) fn symbol(text: &str) -> Option<usize> {
    const LONG: [&str; 8] = ["...", "..", "==", "~=", "<=", ">=", "::", "//"];
    LONG.iter().find(|long| text.starts_with(**long)).map(|long| long.len())
}

/// The length in bytes of the quoted string at the front.
fn quoted(text: &str, quote: char) -> usize {
    let (mut escaped, mut skipping) = (false, false);
    for (at, character) in text.char_indices().skip(1) {
        // `\z` skips white space, with its line ends.
        let skipped = skipping && character.is_ascii_whitespace();
        skipping = skipped || (escaped && character == 'z');
        match character {
            _ if skipped => {}
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            // Only an escaped line end continues a string.
            '\n' if quote != '`' => return at,
            _ => {}
        }
    }
    text.len()
}

/// The length in bytes of the comment at the front.
pub(crate) fn comment(text: &str) -> usize {
    match long_bracket(&text[2..]) {
        Some(length) => 2 + length,
        None => text.find('\n').unwrap_or(text.len()),
    }
}

/// The length in bytes of the `[[...]]` or `[=[...]=]` at the front.
pub(crate) fn long_bracket(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('[')?.trim_start_matches('=');
    let level = text.len() - 1 - inner.len();
    if !inner.starts_with('[') {
        return None;
    }
    let close = format!("]{}]", "=".repeat(level));
    Some(text.find(&close).map_or(text.len(), |at| at + close.len()))
}

#[cfg(test)]
mod tests {
    use super::tokens;

    /// Scenario: names, numbers, strings of each kind, comments and symbols.
    /// Guarantees: each is one token with its line; comments are none.
    #[test]
    fn a_source_is_split() {
        for (source, expected) in [
            ("a.b:c(1)", "a . b : c ( 1 )"),
            ("x..y", "x .. y"),
            ("1 ..2", "1 .. 2"),
            ("0x1p-4+1e+5-.5", "0x1p-4 + 1e+5 - .5"),
            ("'a\\'b' \"c\" [[d]] [==[e]]]==]", "'a\\'b' \"c\" [[d]] [==[e]]]==]"),
            ("a--b\nc--[[d\n]]e", "a c e"),
            ("a~=b==c<=d::e::...", "a ~= b == c <= d :: e :: ..."),
            ("'a\\z\n  b;;'c", "'a\\z\n  b;;' c"),
            ("caf\u{e9} = 1", "caf\u{e9} = 1"),
            ("t[t[1]]", "t [ t [ 1 ] ]"),
        ] {
            let texts: Vec<_> = tokens(source).iter().map(|token| token.text).collect();
            assert_eq!(texts.join(" "), expected, "{source}");
        }
        let lines: Vec<_> = tokens("a\n[[\n]] --[[\n\n]] b").iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 2, 5]);
    }
}
