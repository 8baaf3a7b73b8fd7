//! Which names are local, an upvalue or global at each place of a snippet.

use super::lexer::Token;

/// What a name stands for, in LuaJIT's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    Local,
    Upvalue,
    Global,
}

impl Home {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Upvalue => "upvalue",
            Self::Global => "global",
        }
    }
}

#[derive(Default)]
struct Scope<'a> {
    /// It is the body of a function.
    function: bool,
    names: Vec<&'a str>,
    /// Names that the running `local` declares, visible after it.
    pending: Vec<&'a str>,
    /// Names of a `for`, visible in its block.
    loop_names: Vec<&'a str>,
}

/// Calls `visit` with each token's number and a function that finds the home of a name at this token.
pub(crate) fn walk<'a>(tokens: &[Token<'a>], mut visit: impl FnMut(usize, &dyn Fn(&str) -> Home)) {
    let mut scopes = vec![Scope::default()];
    let mut at = 0;
    while at < tokens.len() {
        let begins = at == 0 || begins_statement(&tokens[at - 1], &tokens[at]);
        if let (true, Some(scope)) = (begins, scopes.last_mut()) {
            let declared = std::mem::take(&mut scope.pending);
            scope.names.extend(declared);
        }
        visit(at, &|name| home(&scopes, name));
        let next = step(tokens, at, &mut scopes);
        // The names between are declarations.
        for skipped in at + 1..next.min(tokens.len()) {
            visit(skipped, &|name| home(&scopes, name));
        }
        at = next;
    }
}

fn home(scopes: &[Scope<'_>], name: &str) -> Home {
    let mut outside = false;
    for scope in scopes.iter().rev() {
        if scope.names.contains(&name) {
            return if outside { Home::Upvalue } else { Home::Local };
        }
        outside |= scope.function;
    }
    Home::Global
}

fn begins_statement(before: &Token<'_>, token: &Token<'_>) -> bool {
    const WORDS: [&str; 15] = [
        "local", "return", "if", "for", "while", "repeat", "end", "else", "elseif", "until", "do", "break", "then",
        ";", "goto",
    ];
    WORDS.iter().any(|word| token.is(word)) || before.is(";") || before.ends_operand() && token.name().is_some()
}

/// Applies the token at `at` to the scopes, and returns the number of the next one to look at.
fn step<'a>(tokens: &[Token<'a>], at: usize, scopes: &mut Vec<Scope<'a>>) -> usize {
    let token = tokens[at];
    let names = |from: usize| {
        let mut names = Vec::new();
        let mut at = from;
        while let Some(name) = tokens.get(at).and_then(Token::name) {
            names.push(name);
            at += 1;
            if !tokens.get(at).is_some_and(|token| token.is(",")) {
                break;
            }
            at += 1;
        }
        (names, at)
    };
    let Some(scope) = scopes.last_mut() else { return at + 1 };
    match token.text {
        _ if token.kind == super::lexer::Kind::Text => {}
        "local" if tokens.get(at + 1).is_some_and(|token| token.is("function")) => {
            scope.names.extend(tokens.get(at + 2).and_then(Token::name));
        }
        "local" => {
            let (declared, next) = names(at + 1);
            scope.pending = declared;
            return next;
        }
        "for" => {
            let (declared, next) = names(at + 1);
            scope.loop_names = declared;
            return next;
        }
        "function" => return function(tokens, at, scopes),
        "do" => {
            let names = std::mem::take(&mut scope.loop_names);
            scopes.push(Scope { names, ..Scope::default() });
        }
        "then" | "repeat" => scopes.push(Scope::default()),
        "else" => {
            close(scopes);
            scopes.push(Scope::default());
        }
        "elseif" | "end" | "until" => close(scopes),
        _ => {}
    }
    at + 1
}

fn close(scopes: &mut Vec<Scope<'_>>) {
    if scopes.len() > 1 {
        scopes.pop();
    }
}

/// Enters the function whose keyword is at `at`.
fn function<'a>(tokens: &[Token<'a>], at: usize, scopes: &mut Vec<Scope<'a>>) -> usize {
    let mut next = at + 1;
    let mut scope = Scope { function: true, ..Scope::default() };
    while let Some(token) = tokens.get(next).filter(|token| !token.is("(")) {
        if !(token.name().is_some() || token.is(".") || token.is(":")) {
            break;
        }
        if token.is(":") {
            scope.names.push("self");
        }
        next += 1;
    }
    while let Some(token) = tokens.get(next) {
        scope.names.extend(token.name());
        next += 1;
        if token.is(")") {
            break;
        }
    }
    scopes.push(scope);
    next
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::walk;

    /// Scenario: a name `x`, called in blocks, loops, functions and after declarations.
    /// Guarantees: its home is the one that Lua's rules of scope give.
    #[test]
    fn names_have_homes() {
        for (source, expected) in [
            ("x()", "global"),
            ("local x = x() x()", "global local"),
            ("local x, y = 1, 2 return x()", "local"),
            ("local x = 1 return function() return x() end", "upvalue"),
            ("local f = function(x) return x() end x()", "local global"),
            ("do local x = 1 x() end x()", "local global"),
            ("for x = 1, x() do x() end x()", "global local global"),
            ("for k, x in pairs(x()) do x() end", "global local"),
            ("if a then local x = 1 x() else x() end", "local global"),
            ("local function x() return x() end x()", "upvalue upvalue local"),
            ("repeat local x = 1 until y x()", "global"),
            ("function t:m() return self() end", ""),
        ] {
            let tokens = tokens(source);
            let mut homes = Vec::new();
            walk(&tokens, |at, home| {
                if tokens[at].is("x") && tokens.get(at + 1).is_some_and(|next| next.is("(")) {
                    homes.push(home("x").word());
                }
            });
            assert_eq!(homes.join(" "), expected, "{source}");
        }
    }
}
