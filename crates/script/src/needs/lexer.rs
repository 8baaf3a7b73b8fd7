//! The tokens of a snippet, with its strings, and the bracket that closes each bracket.

use std::borrow::Cow;

use crate::compile::tokens::quoted;
use crate::source::lexer::{comment, long_bracket, number, symbol};

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// A name or a keyword.
    Word(&'a str),
    /// A string without its quotes.
    Text(Cow<'a, str>),
    /// A number.
    Number(&'a str),
    /// An operator or a bracket.
    Symbol(&'a str),
}

/// The tokens of a source.
#[derive(Debug, Default)]
pub(super) struct Tokens<'a> {
    tokens: Vec<(Token<'a>, usize)>,
    /// For each opening bracket, the index of the one that closes it.
    closing: Vec<usize>,
}

impl<'a> Tokens<'a> {
    /// Reads `source`, in time linear in its length.
    pub(super) fn of(source: &'a str) -> Self {
        let mut read = Self::default();
        // LuaJIT ignores a first line that begins with `#`.
        let mut rest = match source.starts_with('#') {
            true => &source[source.find('\n').unwrap_or(source.len())..],
            false => source,
        };
        let mut line = 1;
        while let Some(first) = rest.chars().next() {
            let (token, length) = next(rest, first);
            if let Some(token) = token {
                read.tokens.push((token, line));
            }
            line += rest[..length].matches('\n').count();
            rest = &rest[length..];
        }
        read.closing = closing(&read.tokens);
        read
    }

    /// The number of tokens.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The line of token `at`, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.tokens.get(at).map_or(0, |(_, line)| *line)
    }

    /// Token `at`.
    pub(super) fn get(&self, at: usize) -> Option<&Token<'a>> {
        self.tokens.get(at).map(|(token, _)| token)
    }

    /// The word at `at`; keywords are words, too.
    pub(super) fn word(&self, at: usize) -> Option<&'a str> {
        match self.get(at) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// The name at `at`.
    pub(super) fn name(&self, at: usize) -> Option<&'a str> {
        self.word(at).filter(|word| !is_keyword(word))
    }

    /// The string at `at`.
    pub(super) fn text(&self, at: usize) -> Option<&str> {
        match self.get(at) {
            Some(Token::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether token `at` is the symbol or keyword `what`.
    pub(super) fn is(&self, at: usize, what: &str) -> bool {
        matches!(self.get(at), Some(Token::Symbol(text) | Token::Word(text)) if *text == what)
    }

    /// The index of the bracket that closes the one at `at`; the number of tokens if none does.
    pub(super) fn close_of(&self, at: usize) -> usize {
        self.closing.get(at).copied().unwrap_or(self.tokens.len())
    }

    /// Whether token `at` ends an operand, so that a following bracket belongs to it.
    pub(super) fn ends_operand(&self, at: usize) -> bool {
        match self.get(at) {
            Some(Token::Word(word)) => !is_keyword(word) || matches!(*word, "end" | "nil" | "true" | "false"),
            Some(Token::Text(_) | Token::Number(_)) => true,
            Some(Token::Symbol(symbol)) => matches!(*symbol, ")" | "]" | "}" | "..."),
            None => false,
        }
    }
}

pub(super) fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "and"
            | "break"
            | "do"
            | "else"
            | "elseif"
            | "end"
            | "false"
            | "for"
            | "function"
            | "if"
            | "in"
            | "local"
            | "nil"
            | "not"
            | "or"
            | "repeat"
            | "return"
            | "then"
            | "true"
            | "until"
            | "while"
    )
}

/// The token at the front, `None` for white space and comments, and the bytes that it takes.
fn next(rest: &str, first: char) -> (Option<Token<'_>>, usize) {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
        let length = number(rest);
        return (Some(Token::Number(&rest[..length])), length);
    }
    if word(first) {
        let length = rest.find(|c: char| !word(c)).unwrap_or(rest.len());
        return (Some(Token::Word(&rest[..length])), length);
    }
    match first {
        '"' | '\'' | '`' => {
            let length = quoted(rest, first);
            let inner = rest[1..length].strip_suffix(first).unwrap_or(&rest[1..length]);
            (Some(Token::Text(unescape(inner))), length)
        }
        '-' if rest.starts_with("--") => (None, comment(rest)),
        '[' if long_bracket(rest).is_some() => {
            let length = long_bracket(rest).unwrap_or(rest.len());
            let level = 1 + rest[1..].bytes().take_while(|byte| *byte == b'=').count();
            let inner = rest.get(level + 1..length.saturating_sub(level + 1)).unwrap_or("");
            (Some(Token::Text(Cow::Borrowed(inner.strip_prefix('\n').unwrap_or(inner)))), length)
        }
        c if c.is_whitespace() => (None, c.len_utf8()),
        c => {
            let length = symbol(rest).unwrap_or(c.len_utf8());
            (Some(Token::Symbol(&rest[..length])), length)
        }
    }
}

/// The simple escapes of a string. Others stay as they are: no name of Kong has any.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(quote @ ('\\' | '"' | '\'')) => out.push(quote),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn closing(tokens: &[(Token<'_>, usize)]) -> Vec<usize> {
    let mut closing = vec![tokens.len(); tokens.len()];
    let mut open = Vec::new();
    for (at, (token, _)) in tokens.iter().enumerate() {
        match token {
            Token::Symbol("(" | "[" | "{") => open.push(at),
            Token::Symbol(")" | "]" | "}") => {
                if let Some(from) = open.pop() {
                    closing[from] = at;
                }
            }
            _ => {}
        }
    }
    closing
}
