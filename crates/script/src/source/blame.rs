//! LuaJIT's words for errors of Luau: `attempt to index local 't' (a nil value)` for `attempt to index nil with 'x'`.
//!
//! Luau's errors do not name the value that they are about. Its name is found in the line that the error is at; if the line
//! has several values that may be meant, the error names none, as LuaJIT's errors about results of calls do.

use super::lexer::{Kind, Token, tokens};
use super::scopes::walk;

/// Sources beyond this many bytes are not searched for names.
const MAX_SOURCE: usize = 64 << 10;

/// Luau's `message`, raised at `line` of `source`, in LuaJIT's words; nothing if they are the same. `exists` says whether the
/// global that a path of names begins with has a value at its end.
pub(crate) fn words(message: &str, source: &str, line: usize, exists: &dyn Fn(&[&str]) -> bool) -> Option<String> {
    let line = Line { source, line, exists };
    if let Some(rest) = message.strip_prefix("attempt to ") {
        return attempt(rest, &line);
    }
    for (begin, missing) in [("missing argument #", true), ("invalid argument #", false)] {
        if let Some(rest) = message.strip_prefix(begin) {
            return argument(rest, missing, &line);
        }
    }
    if message.starts_with("bad argument #") {
        return method_argument(message, &line);
    }
    if let Some(what) = message.strip_prefix("invalid 'for' ").and_then(|rest| rest.split_once(" (")) {
        return Some(match what.0 {
            "initial value" | "limit" | "step" => format!("'for' {} must be a number", what.0),
            _ => return None,
        });
    }
    if message.starts_with("invalid capture index %") {
        return Some("invalid capture index".to_owned());
    }
    if message.starts_with("malformed pattern (missing arguments to '%b')") {
        return Some("unbalanced pattern".to_owned());
    }
    (message.starts_with("stack overflow (") || message == "C stack overflow").then(|| "stack overflow".to_owned())
}

/// Where an error was raised.
struct Line<'a> {
    source: &'a str,
    line: usize,
    exists: &'a dyn Fn(&[&str]) -> bool,
}

fn attempt(rest: &str, line: &Line<'_>) -> Option<String> {
    let about = |doing: &str, name: Option<String>, kind: &str| {
        Some(match name {
            Some(name) => format!("attempt to {doing} {name} (a {kind} value)"),
            None => format!("attempt to {doing} a {kind} value"),
        })
    };
    if let Some((kind, key)) = rest.strip_prefix("index ").and_then(|rest| rest.split_once(" with ")) {
        let key = key.strip_prefix('\'').and_then(|key| key.strip_suffix('\''));
        return about("index", line.name(|tokens, at| indexed(tokens, at, key)), kind);
    }
    if let Some((name, _)) = rest.strip_prefix("call missing method '").and_then(|rest| rest.split_once("' of ")) {
        return about("call", Some(format!("method '{name}'")), "nil");
    }
    if let Some(kind) = rest.strip_prefix("call a ").and_then(|rest| rest.strip_suffix(" value")) {
        return about("call", line.name(called), kind);
    }
    if let Some(kind) = rest.strip_prefix("iterate over a ").and_then(|rest| rest.strip_suffix(" value")) {
        return about("call", None, kind);
    }
    if let Some(kind) = rest.strip_prefix("get length of a ").and_then(|rest| rest.strip_suffix(" value")) {
        return about("get length of", line.name(measured), kind);
    }
    if let Some((left, right)) = rest.strip_prefix("concatenate ").and_then(|rest| rest.split_once(" with ")) {
        let (side, kind) = culprit(left, right);
        return about("concatenate", line.name(|tokens, at| joined(tokens, at, &[".."], side)), kind);
    }
    if let Some((operation, kinds)) =
        rest.strip_prefix("perform arithmetic (").and_then(|rest| rest.split_once(") on "))
    {
        let symbol: &[&str] = match operation {
            "add" => &["+"],
            "sub" | "unm" => &["-"],
            "mul" => &["*"],
            "div" => &["/"],
            "mod" => &["%"],
            "pow" => &["^"],
            _ => &[],
        };
        // Two operands of one type are named once.
        let one = if operation == "unm" { Side::Right } else { Side::Left };
        let (side, kind) = kinds.split_once(" and ").map_or((one, kinds), |(left, right)| culprit(left, right));
        return about("perform arithmetic on", line.name(|tokens, at| joined(tokens, at, symbol, side)), kind);
    }
    let (left, compared) = rest.strip_prefix("compare ")?.split_once(' ')?;
    let right = compared.trim_start_matches(['<', '=', '>', ' ']);
    if left == "two" || right == compared {
        return None;
    }
    Some(match left == right {
        true => format!("attempt to compare two {left} values"),
        false => format!("attempt to compare {left} with {right}"),
    })
}

/// The rest of `missing argument #1 to 'f' (string expected)` or of `invalid argument ...`.
fn argument(rest: &str, missing: bool, line: &Line<'_>) -> Option<String> {
    let rest = rest.trim_end();
    let Some((number, reason)) = rest.split_once(" to '") else {
        let name = line.called_name(&["type", "tostring", "tonumber", "assert", "pcall"]).unwrap_or("?");
        return Some(format!("bad argument #{rest} to '{name}' (value expected)"));
    };
    let (name, reason) = reason.split_once("' (")?;
    let reason = reason.strip_suffix(')')?;
    let reason = if reason.starts_with("string/function/table expected") {
        "string/function/table expected".to_owned()
    } else if missing && ["pairs", "ipairs"].contains(&name) {
        "value expected".to_owned()
    } else if missing {
        format!("{reason}, got no value")
    } else {
        reason.to_owned()
    };
    let message = format!("bad argument #{number} to '{name}' ({reason})");
    Some(method_argument(&message, line).unwrap_or(message))
}

/// LuaJIT does not count the value before the colon of a call among the arguments.
fn method_argument(message: &str, line: &Line<'_>) -> Option<String> {
    let (number, rest) = message.strip_prefix("bad argument #")?.split_once(" to '")?;
    let (name, reason) = rest.split_once('\'')?;
    let number: usize = number.parse().ok()?;
    if line.called_as(name) != Some(":") {
        return None;
    }
    Some(match number.checked_sub(1) {
        None | Some(0) => format!("calling '{name}' on bad self{reason}"),
        Some(number) => format!("bad argument #{number} to '{name}'{reason}"),
    })
}

/// The side of an operator that an error is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// LuaJIT blames the first operand that is neither a number nor a text, or else the text.
fn culprit<'a>(left: &'a str, right: &'a str) -> (Side, &'a str) {
    let sound = |kind: &str| ["number", "string"].contains(&kind);
    match (sound(left), sound(right)) {
        (false, _) => (Side::Left, left),
        (true, false) => (Side::Right, right),
        (true, true) if left == "string" => (Side::Left, left),
        (true, true) => (Side::Right, right),
    }
}

/// An expression that an error may be about.
enum Operand<'a> {
    Name(&'a str),
    /// A member with this name, below the path of names if it has one.
    Field(&'a str, Vec<&'a str>),
    /// A literal.
    Constant,
    /// Something that LuaJIT's errors do not name.
    Unnamed,
}

impl Line<'_> {
    fn tokens(&self) -> Vec<Token<'_>> {
        if self.source.len() > MAX_SOURCE { Vec::new() } else { tokens(self.source) }
    }

    /// The only name among those that `look` finds at the tokens of the line.
    fn name(&self, look: impl for<'t> Fn(&[Token<'t>], usize) -> Option<Operand<'t>>) -> Option<String> {
        let tokens = self.tokens();
        let mut found: Vec<Option<String>> = Vec::new();
        walk(&tokens, |at, home| {
            if tokens[at].line != self.line {
                return;
            }
            let shown = match look(&tokens, at) {
                Some(Operand::Name(name)) => {
                    let home = home(name);
                    if home.word() == "global" && (self.exists)(&[name]) {
                        return;
                    }
                    Some(format!("{} '{name}'", home.word()))
                }
                Some(Operand::Field(name, path)) => {
                    let known = path.first().is_some_and(|first| home(first).word() == "global");
                    if known && (self.exists)(&[&path[..], &[name]].concat()) {
                        return;
                    }
                    Some(format!("field '{name}'"))
                }
                Some(Operand::Unnamed) => None,
                Some(Operand::Constant) | None => return,
            };
            if !found.contains(&shown) {
                found.push(shown);
            }
        });
        match &mut found[..] {
            [one] => one.take(),
            _ => None,
        }
    }

    /// Whether the line calls `name` as a method, `:`, as a function, ` `, or not at all.
    fn called_as(&self, name: &str) -> Option<&'static str> {
        let tokens = self.tokens();
        let mut ways = tokens.windows(3).filter(|window| window[1].line == self.line && window[1].is(name));
        let first = ways.next()?;
        let method = |window: &[Token<'_>]| window[0].is(":") && begins_arguments(&window[2]);
        let way = method(first);
        ways.all(|window| method(window) == way).then_some(if way { ":" } else { " " })
    }

    fn called_name<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        let tokens = self.tokens();
        let on_line = |name: &str| tokens.iter().any(|token| token.line == self.line && token.is(name));
        let mut called = names.iter().filter(|name| on_line(name));
        let first = called.next()?;
        called.next().is_none().then_some(first)
    }
}

fn begins_arguments(token: &Token<'_>) -> bool {
    token.is("(") || token.is("{") || token.kind == Kind::Text
}

/// What is indexed with `key`, a text, at the token `at`; with another value if there is no key.
fn indexed<'a>(tokens: &[Token<'a>], at: usize, key: Option<&str>) -> Option<Operand<'a>> {
    tokens.get(at.checked_sub(1)?).filter(|token| token.ends_operand())?;
    let next = tokens.get(at + 1)?;
    let matches = match key {
        Some(key) if tokens[at].is(".") || tokens[at].is(":") => next.text == key,
        Some(key) if tokens[at].is("[") => next.plain_text().is_none_or(|text| text == key),
        None => tokens[at].is("[") && next.kind != Kind::Text,
        _ => false,
    };
    matches.then(|| operand_before(tokens, at))
}

/// What is measured by the `#` at the token `at`.
fn measured<'a>(tokens: &[Token<'a>], at: usize) -> Option<Operand<'a>> {
    tokens[at].is("#").then(|| operand_after(tokens, at + 1))
}

/// What is called by the arguments that begin at the token `at`.
fn called<'a>(tokens: &[Token<'a>], at: usize) -> Option<Operand<'a>> {
    let before = tokens.get(at.checked_sub(1)?)?;
    if !begins_arguments(&tokens[at]) || !before.ends_operand() || before.is("function") {
        return None;
    }
    // Parameters follow the name of a function that is being declared.
    let mut first = at - 1;
    while first >= 2 && (tokens[first - 1].is(".") || tokens[first - 1].is(":")) {
        first -= 2;
    }
    if first > 0 && tokens[first - 1].is("function") {
        return None;
    }
    Some(operand_before(tokens, at))
}

fn joined<'a>(tokens: &[Token<'a>], at: usize, symbols: &[&str], side: Side) -> Option<Operand<'a>> {
    if !symbols.iter().any(|symbol| tokens[at].is(symbol)) {
        return None;
    }
    Some(match side {
        Side::Left => operand_before(tokens, at),
        Side::Right => operand_after(tokens, at + 1),
    })
}

/// The operand that ends before the token `at`.
fn operand_before<'a>(tokens: &[Token<'a>], at: usize) -> Operand<'a> {
    let Some(last) = at.checked_sub(1).and_then(|last| tokens.get(last)) else { return Operand::Unnamed };
    let dot = |at: usize| tokens.get(at).is_some_and(|token| token.is(".") || token.is(":"));
    if let Some(name) = last.name() {
        if at < 2 || !dot(at - 2) {
            return Operand::Name(name);
        }
        let mut path = Vec::new();
        let mut end = at - 2;
        while let Some(part) = end.checked_sub(1).and_then(|before| tokens[before].name()) {
            path.insert(0, part);
            end -= 1;
            if end == 0 || !dot(end - 1) {
                return Operand::Field(name, path);
            }
            end -= 1;
        }
        return Operand::Field(name, Vec::new());
    }
    if last.is("]")
        && let Some([open, key]) = at.checked_sub(3).and_then(|from| tokens.get(from..from + 2))
        && open.is("[")
        && let Some(name) = key.plain_text()
    {
        return Operand::Field(name, Vec::new());
    }
    let literal = last.kind == Kind::Number || last.kind == Kind::Text || last.is("true") || last.is("false");
    if literal { Operand::Constant } else { Operand::Unnamed }
}

/// The operand that begins with the token `at`.
fn operand_after<'a>(tokens: &[Token<'a>], at: usize) -> Operand<'a> {
    let Some(first) = tokens.get(at) else { return Operand::Unnamed };
    if first.name().is_none() {
        let literal = first.kind == Kind::Number || first.kind == Kind::Text || first.is("true") || first.is("false");
        return if literal { Operand::Constant } else { Operand::Unnamed };
    }
    let mut end = at + 1;
    while let Some(token) = tokens.get(end) {
        if token.is(".") && tokens.get(end + 1).is_some_and(|next| next.name().is_some()) {
            end += 2;
        } else if token.is("[") && tokens.get(end + 1).is_some_and(|key| key.kind == Kind::Text) {
            end += 3;
        } else if token.is("[") || token.is(":") || begins_arguments(token) {
            return Operand::Unnamed;
        } else {
            break;
        }
    }
    operand_before(tokens, end)
}

#[cfg(test)]
mod tests {
    use super::words;

    /// Scenario: Luau's errors at lines with one value or several that they may be about.
    /// Guarantees: LuaJIT's words, with the name of the only value, or with none.
    #[test]
    fn errors_have_the_words_of_luajit() {
        for (message, source, expected) in [
            ("attempt to index nil with 'x'", "return t.x", "attempt to index global 't' (a nil value)"),
            ("attempt to index nil with 'x'", "return a.t.x", "attempt to index field 't' (a nil value)"),
            ("attempt to index nil with 'x'", "return f().x", "attempt to index a nil value"),
            ("attempt to index nil with 'x'", "local t, u return t.x, u.x", "attempt to index a nil value"),
            ("attempt to call a nil value", "return known(other())", "attempt to call global 'other' (a nil value)"),
            ("attempt to call a nil value", "local f return f()", "attempt to call local 'f' (a nil value)"),
            (
                "invalid argument #2 to 'rep' (number expected, got nil)",
                "return s:rep(nil)",
                "bad argument #1 to 'rep' (number expected, got nil)",
            ),
            (
                "invalid argument #2 to 'rep' (number expected, got nil)",
                "return string.rep(s, nil)",
                "bad argument #2 to 'rep' (number expected, got nil)",
            ),
            (
                "attempt to call a nil value",
                "local ok, e = known(function() return os.date('x') end) return e",
                "attempt to call field 'date' (a nil value)",
            ),
            ("attempt to compare nil <= number", "", "attempt to compare nil with number"),
            ("attempt to compare nil < nil", "", "attempt to compare two nil values"),
            ("invalid 'for' limit (number expected, got nil)", "", "'for' limit must be a number"),
        ] {
            let given = words(message, source, 1, &|path| path == ["known"]);
            assert_eq!(given.as_deref(), Some(expected), "{message} in {source}");
        }
        assert_eq!(words("my own error", "", 1, &|_| false), None);
    }
}
