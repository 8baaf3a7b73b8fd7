//! Luau's words for what LuaJIT reads and Luau does not: empty statements, hexadecimal fractions, names beyond ASCII, a call
//! whose arguments begin on the next line, `break` before the end of a block, and `goto` to the end of a loop.
//!
//! Each part of the text is replaced within its line, so that errors keep their lines.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::source::lexer::{Kind, Token, tokens};
use crate::source::numeral;

/// `source` as Luau reads it.
pub(super) fn translated(source: &str) -> Cow<'_, str> {
    let tokens = tokens(source);
    let mut edits = Vec::new();
    statements(&tokens, &mut edits);
    calls(&tokens, &mut edits);
    numbers(&tokens, &mut edits);
    names(&tokens, &mut edits);
    continues(&tokens, &mut edits);
    if edits.is_empty() {
        return Cow::Borrowed(source);
    }
    edits.sort_by_key(|(range, _)| range.start);
    let (mut out, mut copied) = (String::with_capacity(source.len() + 64), 0);
    for (range, with) in edits {
        // Two rules never want the same place; if they did, the first one would have it.
        if range.start >= copied {
            out.push_str(&source[copied..range.start]);
            out.push_str(&with);
            copied = range.end;
        }
    }
    out.push_str(&source[copied..]);
    Cow::Owned(out)
}

type Edits = Vec<(Range<usize>, String)>;

fn place(token: &Token<'_>) -> Range<usize> {
    token.start..token.start + token.text.len()
}

/// Drops statements that are only `;`, and closes a block around each `break` that does not end one.
fn statements(tokens: &[Token<'_>], edits: &mut Edits) {
    const OPENERS: [&str; 5] = [";", "then", "do", "else", "repeat"];
    let mut parameters = false;
    let mut brackets: Vec<&str> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let next = tokens.get(at + 1);
        match token.text {
            _ if token.kind == Kind::Text => {}
            "function" => parameters = true,
            "(" | "{" | "[" => brackets.push(token.text),
            ")" | "}" | "]" => {
                brackets.pop();
                if parameters && token.text == ")" {
                    parameters = false;
                    // An empty statement may follow the parameters.
                    blank_semicolon(next, edits);
                }
            }
            ";" if before.is_none_or(|before| OPENERS.iter().any(|opener| before.is(opener)) || before.is("::")) => {
                edits.push((place(token), " ".to_owned()));
            }
            "break" => {
                let semicolon = next.filter(|next| next.is(";"));
                let after = if semicolon.is_some() { tokens.get(at + 2) } else { next };
                let last = after.is_none_or(|next| ["end", "else", "elseif", "until"].iter().any(|word| next.is(word)));
                if let Some(semicolon) = semicolon {
                    edits.push((place(semicolon), " ".to_owned()));
                }
                if !last {
                    edits.push((place(token), "do break end".to_owned()));
                }
            }
            _ => {}
        }
    }
}

fn blank_semicolon(token: Option<&Token<'_>>, edits: &mut Edits) {
    if let Some(semicolon) = token.filter(|token| token.is(";")) {
        edits.push((place(semicolon), " ".to_owned()));
    }
}

/// Moves the bracket of a call to the line of what is called.
fn calls(tokens: &[Token<'_>], edits: &mut Edits) {
    for at in 1..tokens.len() {
        let (before, token) = (&tokens[at - 1], &tokens[at]);
        let callable = before.name().is_some() || before.is(")") || before.is("]");
        if !token.is("(") || before.line == token.line || !callable || ends_declaration(tokens, at) {
            continue;
        }
        let end = before.start + before.text.len();
        edits.push((end..end, "(".to_owned()));
        edits.push((place(token), " ".to_owned()));
    }
}

/// Whether what is before the token `at` declares names: `local x`, a function's parameters, or a label.
fn ends_declaration(tokens: &[Token<'_>], at: usize) -> bool {
    if tokens[at - 1].is(")") {
        let mut open = at - 1;
        let mut depth = 0;
        while let Some(token) = tokens.get(open) {
            match token.text {
                ")" => depth += 1,
                "(" => depth -= 1,
                _ => {}
            }
            if depth == 0 || open == 0 {
                break;
            }
            open -= 1;
        }
        // `function (...)`, `function a.b:c (...)`
        let mut first = open;
        while first > 0
            && (tokens[first - 1].name().is_some() || tokens[first - 1].is(".") || tokens[first - 1].is(":"))
        {
            first -= 1;
        }
        return first > 0 && tokens[first - 1].is("function");
    }
    let mut first = at - 1;
    while first >= 2 && tokens[first - 1].is(",") && tokens[first - 2].name().is_some() {
        first -= 2;
    }
    first > 0 && (tokens[first - 1].is("local") || tokens[first - 1].is("goto"))
}

/// Writes hexadecimal numbers that Luau does not read as decimal ones.
fn numbers(tokens: &[Token<'_>], edits: &mut Edits) {
    for token in tokens.iter().filter(|token| token.kind == Kind::Number) {
        let Some(digits) = token.text.strip_prefix("0x").or_else(|| token.text.strip_prefix("0X")) else { continue };
        if digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        if let Some(number) = numeral::hexadecimal(digits.as_bytes()) {
            let text = if number.is_finite() { format!("{number:e}") } else { "1e999".to_owned() };
            edits.push((place(token), text));
        }
    }
}

/// Gives names beyond ASCII other names, and writes members with such a name in brackets.
fn names(tokens: &[Token<'_>], edits: &mut Edits) {
    if tokens.iter().all(|token| token.kind != Kind::Name || token.text.is_ascii()) {
        return;
    }
    let mut brackets: Vec<&str> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            _ if token.kind == Kind::Text => {}
            "(" | "{" | "[" => brackets.push(token.text),
            ")" | "}" | "]" => drop(brackets.pop()),
            _ => {}
        }
        if token.kind != Kind::Name || token.text.is_ascii() {
            continue;
        }
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let after = tokens.get(at + 1);
        let quoted = format!("[\"{}\"]", token.text);
        let begins_member = before.is_some_and(|before| ["{", ",", ";"].iter().any(|symbol| before.is(symbol)));
        if let Some(dot) = before.filter(|before| before.is(".")) {
            edits.push((dot.start..token.start + token.text.len(), quoted));
        } else if begins_member && brackets.last() == Some(&"{") && after.is_some_and(|after| after.is("=")) {
            edits.push((place(token), quoted));
        } else {
            let digits: String = token.text.chars().map(ascii).collect();
            edits.push((place(token), format!("utf8_{digits}")));
        }
    }
}

fn ascii(character: char) -> String {
    match character {
        '_' => "__".to_owned(),
        c if c.is_ascii() => c.to_string(),
        c => format!("_{:x}_", u32::from(c)),
    }
}

/// Writes `goto x` as `continue` where the label `::x::` ends the body of the innermost loop around it.
fn continues(tokens: &[Token<'_>], edits: &mut Edits) {
    if !tokens.iter().any(|token| token.is("::")) {
        return;
    }
    let mut found = Gotos::default();
    for at in 0..tokens.len() {
        found.step(tokens, at);
    }
    edits.extend(found.edits);
}

/// An open block, and the `goto` statements in it.
struct Block<'a> {
    /// The body of a loop, a function, or another block.
    kind: BlockKind,
    /// Token numbers of `goto`, by label, that no label has been found for.
    gotos: HashMap<&'a str, Vec<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    Loop,
    Function,
    Other,
}

#[derive(Default)]
struct Gotos<'a> {
    blocks: Vec<Block<'a>>,
    /// A `while` or `for` whose `do` has not come.
    heads: usize,
    edits: Edits,
}

impl<'a> Gotos<'a> {
    fn step(&mut self, tokens: &[Token<'a>], at: usize) {
        let token = &tokens[at];
        match token.text {
            _ if token.kind == Kind::Text => {}
            "while" | "for" => self.heads += 1,
            "do" => {
                let kind = if self.heads > 0 { BlockKind::Loop } else { BlockKind::Other };
                self.heads = self.heads.saturating_sub(1);
                self.open(kind);
            }
            "repeat" => self.open(BlockKind::Loop),
            "function" => self.open(BlockKind::Function),
            "then" => self.open(BlockKind::Other),
            "else" => {
                self.close();
                self.open(BlockKind::Other);
            }
            "elseif" | "end" | "until" => self.close(),
            "goto" => {
                if let (Some(label), Some(block)) = (tokens.get(at + 1).and_then(Token::name), self.blocks.last_mut()) {
                    block.gotos.entry(label).or_default().push(at);
                }
            }
            "::" => self.label(tokens, at),
            _ => {}
        }
    }

    fn open(&mut self, kind: BlockKind) {
        self.blocks.push(Block { kind, gotos: HashMap::new() });
    }

    /// What a block leaves unresolved, the block around it may resolve, unless it is a function or another loop.
    fn close(&mut self) {
        let Some(block) = self.blocks.pop() else { return };
        if let (BlockKind::Other, Some(outer)) = (block.kind, self.blocks.last_mut()) {
            for (label, gotos) in block.gotos {
                outer.gotos.entry(label).or_default().extend(gotos);
            }
        }
    }

    fn label(&mut self, tokens: &[Token<'a>], at: usize) {
        let (Some(label), Some(close)) = (tokens.get(at + 1).and_then(Token::name), tokens.get(at + 2)) else { return };
        let mut after = at + 3;
        while tokens.get(after).is_some_and(|token| token.is(";")) {
            after += 1;
        }
        let ends = tokens.get(after).is_some_and(|token| token.is("end") || token.is("until"));
        let Some(block) = self.blocks.last_mut().filter(|block| block.kind == BlockKind::Loop) else { return };
        if !ends || !close.is("::") {
            return;
        }
        let Some(gotos) = block.gotos.remove(label) else { return };
        for goto in gotos {
            let Some(name) = tokens.get(goto + 1) else { continue };
            // `continue` has to end its block.
            let after = tokens.get(goto + 2);
            let last = after.is_some_and(|token| ["end", "else", "elseif", "until"].iter().any(|word| token.is(word)));
            let (word, rest) = if last { ("continue", "") } else { ("do continue end", "") };
            self.edits.push((place(&tokens[goto]), word.to_owned()));
            self.edits.push((place(name), rest.to_owned()));
        }
        for token in &tokens[at..at + 3] {
            self.edits.push((place(token), " ".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::translated;

    /// Scenario: each form that LuaJIT reads and Luau does not, beside forms that look like it.
    /// Guarantees: only the first are rewritten, on their lines.
    #[test]
    fn forms_of_luajit_are_rewritten() {
        for (source, expected) in [
            ("a();; b()", "a();  b()"),
            ("; do ; end", "  do   end"),
            ("function f() ; end", "function f()   end"),
            ("t = {1;2}; a();", "t = {1;2}; a();"),
            ("x = 0x1p4 + 0x.8 + 0xff", "x = 1.6e1 + 5e-1 + 0xff"),
            ("f\n(1)", "f(\n 1)"),
            ("local x\n(f)()", "local x\n(f)()"),
            ("local x = y\n(f)()", "local x = y(\n f)()"),
            ("function f(a)\n(g)() end", "function f(a)\n(g)() end"),
            ("while x do break y() end", "while x do do break end y() end"),
            ("while x do break end", "while x do break end"),
            ("while x do break; end", "while x do break  end"),
            ("caf\u{e9} = t.\u{e9}", "utf8_caf_e9_ = t[\"\u{e9}\"]"),
            ("t = {\u{e9} = 1, a = \u{e9}}", "t = {[\"\u{e9}\"] = 1, a = utf8__e9_}"),
            (
                "for i = 1, 2 do if x then goto c end y() ::c:: end",
                "for i = 1, 2 do if x then continue  end y()     end",
            ),
            (
                "for i = 1, 2 do for j = 1, 2 do goto c end ::c:: end",
                "for i = 1, 2 do for j = 1, 2 do goto c end ::c:: end",
            ),
            ("s = ';; break 0x1p4 \u{e9} ::c::' -- ;;", "s = ';; break 0x1p4 \u{e9} ::c::' -- ;;"),
        ] {
            assert_eq!(translated(source), expected, "{source}");
        }
    }
}
