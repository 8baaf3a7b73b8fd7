//! The names of a form's pairs (kong/api/arguments_decoder.lua).

use std::borrow::Cow;

use logphase_script::parse_lua_number;

use super::{BodyError, MAX_LEVELS};

/// A step into a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The element at this place of a list, from 1.
    Index(i64),
    /// The member of this name.
    Name(String),
    /// Behind the last element; always the last step.
    Append,
}

/// The way to the value of the pair called `name`. Dots outside of brackets nest, and so do brackets. A name with a dot at
/// either end stands for `name`, as in Kong. There is at least one step.
///
/// # Errors
/// It has more than [`MAX_LEVELS`] steps.
pub(super) fn path(name: &str) -> Result<Vec<Step>, BodyError> {
    if name.starts_with('.') || name.ends_with('.') {
        return Ok(vec![Step::Name("name".to_owned())]);
    }
    let name = with_brackets(name);
    let mut steps = Vec::new();
    let mut pieces = pieces(&name).peekable();
    while let Some(piece) = pieces.next() {
        push_piece(&mut steps, piece, pieces.peek().is_none());
        if steps.len() > MAX_LEVELS {
            return Err(BodyError::TooDeep(format!("{}...", name.chars().take(40).collect::<String>())));
        }
    }
    if steps.is_empty() {
        steps.push(Step::Name(name.to_string()));
    }
    Ok(steps)
}

/// `name` with `[` and `]` for each `%5B` that a `%5D` follows. Both are still there if the name was escaped twice, or is
/// that of a part.
fn with_brackets(name: &str) -> Cow<'_, str> {
    let escape = |text: &str, digit: u8| {
        let found = memchr::memmem::find_iter(text.as_bytes(), b"%5");
        found.into_iter().find(|at| text.as_bytes().get(at + 2).is_some_and(|byte| byte.eq_ignore_ascii_case(&digit)))
    };
    let mut out = String::new();
    let mut rest = name;
    while let Some(open) = escape(rest, b'b') {
        let inside = &rest[open + 3..];
        let Some(close) = escape(inside, b'd') else { break };
        out.extend([&rest[..open], "[", &inside[..close], "]"]);
        rest = &inside[close + 3..];
    }
    if rest.len() == name.len() { Cow::Borrowed(name) } else { Cow::Owned(out + rest) }
}

/// Splits `name` at dots outside of brackets. A bracket that is not closed, or is the first of its piece, is a character as
/// any other.
fn pieces(name: &str) -> impl Iterator<Item = &str> {
    let bytes = name.as_bytes();
    let last_close = memchr::memrchr(b']', bytes).unwrap_or(0);
    let mut at = 0;
    std::iter::from_fn(move || {
        at += bytes[at..].iter().take_while(|byte| **byte == b'.').count();
        let start = at;
        while at < bytes.len() && bytes[at] != b'.' {
            at += 1;
            while at < last_close && bytes[at] == b'[' {
                at += memchr::memchr(b']', &bytes[at..]).map_or(0, |close| close + 1);
            }
        }
        (start < at).then(|| &name[start..at])
    })
}

/// Adds the steps of `name[key][key]`. Text between and behind brackets is ignored.
fn push_piece(steps: &mut Vec<Step>, piece: &str, is_last: bool) {
    // The first character is one of the name, whatever it is.
    let open = piece.bytes().skip(1).position(|byte| byte == b'[').map(|at| at + 1);
    let mut keys = open.into_iter().flat_map(|open| keys(&piece[open..])).peekable();
    let (Some(open), Some(_)) = (open, keys.peek()) else {
        steps.push(Step::Name(piece.to_owned()));
        return;
    };
    // Kong reads it as a key, too.
    steps.push(step(&piece[..open]));
    while let Some(key) = keys.next() {
        let ends = keys.peek().is_none();
        match key {
            "" if ends && is_last => steps.push(Step::Append),
            // Kong leaves it out before a dot, ...
            "" if ends => {}
            // ... and takes it for the first before another bracket.
            "" => steps.push(Step::Index(1)),
            key => steps.push(step(key)),
        }
        if steps.len() > MAX_LEVELS {
            return;
        }
    }
}

/// What is in the brackets of `text`, up to the first `]` each.
fn keys(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (_, rest) = text.split_once('[')?;
        let (key, rest) = rest.split_once(']')?;
        text = rest;
        Some(key)
    })
}

/// What Lua takes for a whole number is an index.
fn step(key: &str) -> Step {
    // Beyond it a number is not exact.
    const MAX: f64 = 9_007_199_254_740_992.0;
    match parse_lua_number(key.as_bytes()) {
        Some(number) if number.fract() == 0.0 && number.abs() <= MAX => Step::Index(number as i64),
        _ => Step::Name(key.to_owned()),
    }
}
