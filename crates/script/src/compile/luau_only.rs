//! Finds what Luau reads and Kong's LuaJIT refuses.

use super::Difference;
use crate::source::lexer::{Kind, Token, tokens};

/// The lines of `source` that LuaJIT does not compile, each with the reason.
pub(super) fn differences(source: &str) -> Vec<Difference> {
    let tokens = tokens(source);
    let mut found: Vec<Difference> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some((what, help)) = addition(&tokens, at) else { continue };
        if !found.iter().any(|known| known.line == token.line && known.what == what) {
            found.push(Difference { line: token.line, what, help });
        }
    }
    found
}

/// What is wrong with the token at `at` in LuaJIT, and what to write instead.
fn addition(tokens: &[Token<'_>], at: usize) -> Option<(&'static str, &'static str)> {
    let token = &tokens[at];
    let next = tokens.get(at + 1);
    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
    let adjacent = next.is_some_and(|next| next.start == token.start + token.text.len());
    Some(match (token.kind, token.text) {
        (Kind::Symbol, "//") => ("Kong's LuaJIT has no `//`", "write `math.floor(a / b)`"),
        (Kind::Symbol, "+" | "-" | "*" | "/" | "%" | "^" | "..")
            if adjacent && next.is_some_and(|next| next.is("=")) =>
        {
            ("Kong's LuaJIT has no compound assignment", "write `x = x + y`")
        }
        (Kind::Text, text) if text.starts_with('`') => {
            ("Kong's LuaJIT has no strings in backticks", "join the parts with `..`")
        }
        (Kind::Number, text) if text.contains('_') => ("Kong's LuaJIT has no `_` in numbers", "write the digits alone"),
        (Kind::Name, "continue") if is_statement(before, next) => {
            ("Kong's LuaJIT has no `continue`", "write `goto continue`, and `::continue::` before the loop's `end`")
        }
        (Kind::Name, "if") if before.is_some_and(|before| before.is("return") || begins_value(before)) => {
            ("Kong's LuaJIT has no `if` expressions", "write an `if` statement, or `a and b or c`")
        }
        _ => return None,
    })
}

fn is_statement(before: Option<&Token<'_>>, next: Option<&Token<'_>>) -> bool {
    let ends = |token: &Token<'_>| ["end", "else", "elseif", "until", ";"].iter().any(|word| token.is(word));
    let begins = |token: &Token<'_>| {
        ["then", "do", "else", "repeat", ";"].iter().any(|word| token.is(word)) || token.ends_operand()
    };
    next.is_none_or(ends) && before.is_none_or(begins)
}

/// Whether an operand follows this token.
fn begins_value(token: &Token<'_>) -> bool {
    const SYMBOLS: [&str; 15] = ["=", "(", ",", "[", "{", "..", "==", "~=", "<", "<=", ">", ">=", "+", "*", "/"];
    SYMBOLS.iter().any(|symbol| token.is(symbol)) || ["and", "or", "not"].iter().any(|word| token.is(word))
}

#[cfg(test)]
mod tests {
    use super::differences;

    /// Scenario: each of Luau's additions, and text of Lua 5.1 that looks like one.
    /// Guarantees: the additions are found with their lines, and nothing else is.
    #[test]
    fn additions_are_found() {
        for (source, lines) in [
            ("return 5 // 2", vec![1]),
            ("local x = 1\nx += 1\nx ..= 'a'", vec![2, 3]),
            ("return `a{b}`", vec![1]),
            ("return 1_000", vec![1]),
            ("for i = 1, 2 do\ncontinue\nend", vec![2]),
            ("local continue = 1 return continue", vec![]),
            ("return if a then 1 else 2", vec![1]),
            ("local x = if a then 1 else 2", vec![1]),
            ("return a / b == c, a .. b == c, a - -b, x == -1", vec![]),
            ("-- a // b\nreturn '// += `'", vec![]),
            ("return (kong.response.get_status() / 3) .. 'x'", vec![]),
        ] {
            let found: Vec<usize> = differences(source).into_iter().map(|found| found.line).collect();
            assert_eq!(found, lines, "{source}");
        }
    }
}
