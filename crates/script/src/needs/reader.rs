//! Which members of `kong` and `ngx` a snippet names, followed through locals, without running it.
//!
//! One pass over the tokens keeps the scopes of locals. A local that is bound to a member (`local r = kong.request`), or to
//! one of several (`a or b`), stands for it from then on. What goes through tables, parameters and results of functions of
//! the snippet is not followed: there the use of the member that is handed on is what is seen.

use std::collections::{HashMap, HashSet};

use super::lexer::Tokens;
use crate::compile::tokens::begins_an_expression;

/// One step from a global to a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// `.name` or `["name"]`.
    Member(String),
    /// `[...]` with anything else.
    Index,
    /// A call, with its first argument if that is a string.
    Call(Option<String>),
}

/// How a member is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum How {
    /// Its value goes somewhere.
    Read,
    /// It is only compared, or tested for truth.
    Tested,
    /// It is called, and its result has a name that stands for it.
    Called,
    /// It is assigned to.
    Written,
}

/// A use of a member of `kong` or `ngx`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Use {
    /// From the global.
    pub(super) path: Vec<Step>,
    pub(super) how: How,
    /// Line in the source, from 1.
    pub(super) line: usize,
}

/// Bounds on what is kept, so that no source makes the analysis slow.
const MAX_STEPS: usize = 12;
const MAX_PATHS: usize = 16;
const MAX_PARENTHESES: usize = 50;
const MAX_USES: usize = 10_000;

/// The uses in `source`, in order.
pub(super) fn uses(source: &str) -> Vec<Use> {
    let mut reader = Reader {
        tokens: Tokens::of(source),
        frames: vec![Frame { kind: Kind::Block, names: HashMap::new() }],
        bindings: Vec::new(),
        loops: Vec::new(),
        open: Vec::new(),
        bound: HashSet::new(),
        uses: Vec::new(),
    };
    reader.read();
    let mut seen = HashSet::new();
    reader.uses.retain(|found| seen.insert(found.clone()));
    reader.uses
}

type Paths = Vec<Vec<Step>>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Block,
    If,
    /// An `if` expression of Luau, which has no `end`.
    IfExpression,
}

/// A scope.
struct Frame<'s> {
    kind: Kind,
    /// Locals and what they stand for; nothing if that is not known.
    names: HashMap<&'s str, Paths>,
}

/// A name that stands for something from a token on.
struct Binding<'s> {
    from: usize,
    name: &'s str,
    paths: Paths,
    /// A new local rather than an assignment.
    local: bool,
}

struct Reader<'s> {
    tokens: Tokens<'s>,
    frames: Vec<Frame<'s>>,
    bindings: Vec<Binding<'s>>,
    /// The names of loops whose `do` is to come, with the number of frames outside.
    loops: Vec<(usize, Vec<&'s str>)>,
    /// The brackets that are open.
    open: Vec<&'static str>,
    /// Where chains begin that a name stands for.
    bound: HashSet<usize>,
    uses: Vec<Use>,
}

impl<'s> Reader<'s> {
    fn read(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            self.bind(at);
            at = match self.tokens.word(at) {
                Some("local") => self.local(at),
                Some("function") => self.function(at),
                Some("for") => self.for_loop(at),
                Some(_) if self.tokens.name(at).is_some() => self.chain_at(at),
                Some(keyword) => self.keyword(at, keyword),
                None => self.symbol(at),
            };
        }
    }

    /// Makes names stand for what was bound to them before token `at`.
    fn bind(&mut self, at: usize) {
        while self.bindings.last().is_some_and(|binding| binding.from <= at) {
            let Some(Binding { name, mut paths, local, .. }) = self.bindings.pop() else { break };
            let last = self.frames.len() - 1;
            let home = self.frames.iter().rposition(|frame| frame.names.contains_key(name));
            let names = &mut self.frames[if local { last } else { home.unwrap_or(0) }].names;
            if !local {
                paths.extend(names.remove(name).unwrap_or_default());
            }
            paths.truncate(MAX_PATHS);
            names.insert(name, paths);
        }
    }

    fn declare(&mut self, names: &[&'s str]) {
        if let Some(frame) = self.frames.last_mut() {
            frame.names.extend(names.iter().map(|name| (*name, Paths::new())));
        }
    }

    fn push(&mut self, kind: Kind) {
        self.frames.push(Frame { kind, names: HashMap::new() });
    }

    fn pop(&mut self) {
        if self.frames.len() > 1 {
            self.frames.pop();
        }
    }

    fn keyword(&mut self, at: usize, keyword: &str) -> usize {
        let kind = self.frames.last().map_or(Kind::Block, |frame| frame.kind);
        match keyword {
            "do" => {
                self.push(Kind::Block);
                if self.loops.last().is_some_and(|(frames, _)| *frames + 1 == self.frames.len())
                    && let Some((_, names)) = self.loops.pop()
                {
                    self.declare(&names);
                }
            }
            "repeat" => self.push(Kind::Block),
            "if" => self.push(if self.is_expression(at) { Kind::IfExpression } else { Kind::If }),
            "then" | "elseif" | "else" if kind == Kind::If => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.names.clear();
                }
            }
            "else" if kind == Kind::IfExpression => self.pop(),
            "end" | "until" => self.pop(),
            _ => {}
        }
        at + 1
    }

    /// Whether the `if` at `at` is an expression.
    fn is_expression(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else { return false };
        let word = self.tokens.word(before);
        match word {
            Some(word) => begins_an_expression(word),
            None => !self.tokens.ends_operand(before) && !self.tokens.is(before, ";"),
        }
    }

    fn symbol(&mut self, at: usize) -> usize {
        for (open, close) in [("(", ")"), ("[", "]"), ("{", "}")] {
            if self.tokens.is(at, open) {
                if open == "(" {
                    self.parenthesis(at);
                }
                self.open.push(open);
            } else if self.tokens.is(at, close) {
                self.open.pop();
            }
        }
        at + 1
    }

    /// Parentheses that are an operand with suffixes: `(a or b).c`.
    fn parenthesis(&mut self, at: usize) {
        let after = self.tokens.close_of(at) + 1;
        let call = at.checked_sub(1).is_some_and(|before| self.tokens.ends_operand(before));
        let suffix = [".", "[", "("].iter().any(|symbol| self.tokens.is(after, symbol));
        if call || !suffix {
            return;
        }
        let mut begins = Vec::new();
        let (paths, next) = self.operand(at, 0, &mut begins);
        self.bound.extend(begins);
        self.record(at, &paths, next);
    }

    /// `local a, b = x, y`. Returns where reading goes on.
    fn local(&mut self, at: usize) -> usize {
        if self.tokens.is(at + 1, "function") {
            if let Some(name) = self.tokens.name(at + 2) {
                self.declare(&[name]);
            }
            return at + 1;
        }
        let (names, next) = self.names(at + 1);
        if !self.tokens.is(next, "=") {
            self.declare(&names);
            return next;
        }
        self.values(&names, next + 1, true);
        next
    }

    /// Names with commas between them, each perhaps with an attribute, and the token after them.
    fn names(&self, mut at: usize) -> (Vec<&'s str>, usize) {
        let mut names = Vec::new();
        while let Some(name) = self.tokens.name(at) {
            names.push(name);
            at += 1;
            if self.tokens.is(at, "<") && self.tokens.is(at + 2, ">") {
                at += 3;
            }
            if !self.tokens.is(at, ",") {
                break;
            }
            at += 1;
        }
        (names, at)
    }

    /// Binds `names` to the expressions that begin at `at`, once they have been read.
    fn values(&mut self, names: &[&'s str], mut at: usize, local: bool) {
        let mut values = Vec::new();
        loop {
            let end = self.expression_end(at);
            let mut begins = Vec::new();
            values.push(self.value(at, end, 0, &mut begins));
            self.bound.extend(begins);
            at = end;
            if !self.tokens.is(at, ",") || values.len() >= names.len() {
                break;
            }
            at += 1;
        }
        values.resize_with(names.len(), Paths::new);
        for (name, paths) in names.iter().zip(values).rev() {
            self.bindings.push(Binding { from: at, name, paths, local });
        }
        // A function among the values can hold further ones, which end before.
        self.bindings.sort_by_key(|binding| std::cmp::Reverse(binding.from));
    }

    /// `function name(a, b)`.
    fn function(&mut self, at: usize) -> usize {
        let mut next = at + 1;
        while self.tokens.word(next).is_some() || self.tokens.is(next, ".") || self.tokens.is(next, ":") {
            next += 1;
        }
        self.push(Kind::Block);
        if !self.tokens.is(next, "(") {
            return at + 1;
        }
        let (parameters, _) = self.names(next + 1);
        self.declare(&parameters);
        self.tokens.close_of(next) + 1
    }

    fn for_loop(&mut self, at: usize) -> usize {
        let (names, next) = self.names(at + 1);
        self.loops.push((self.frames.len(), names));
        next
    }

    /// A name at `at` that may begin a chain.
    fn chain_at(&mut self, at: usize) -> usize {
        let before = at.checked_sub(1);
        let is_before = |symbol| before.is_some_and(|before| self.tokens.is(before, symbol));
        if is_before(".") || is_before(":") {
            return at + 1;
        }
        let key = ["{", ",", ";"].into_iter().any(is_before) && self.open.last() == Some(&"{");
        if key && self.tokens.is(at + 1, "=") {
            return at + 1;
        }
        let (mut paths, next) = self.operand(at, 0, &mut Vec::new());
        if self.tokens.is(next, "=") {
            if let (Some(name), true) = (self.tokens.name(at), next == at + 1) {
                self.values(&[name], next + 1, false);
            } else {
                self.uses_of(&paths, How::Written, at);
            }
            return at + 1;
        }
        let handed_on = self.tokens.is(next, ",") || self.tokens.is(next, ")");
        if handed_on && is_before("(") && at > 1 && self.tokens.is(at - 2, "pcall") {
            self.protected_call(&mut paths, next);
        }
        self.record(at, &paths, next);
        at + 1
    }

    /// `pcall(f, "x")` calls `f` with "x".
    fn protected_call(&self, paths: &mut Paths, next: usize) {
        let argument = if self.tokens.is(next, ",") { self.tokens.text(next + 1) } else { None };
        for path in paths {
            path.push(Step::Call(argument.map(str::to_owned)));
        }
    }

    /// Notes the use of a chain from `at` to `next`.
    fn record(&mut self, at: usize, paths: &Paths, next: usize) {
        if self.bound.contains(&at) {
            let called: Paths = paths
                .iter()
                .filter_map(|path| {
                    let last = path.iter().rposition(|step| matches!(step, Step::Call(_)))?;
                    Some(path[..=last].to_vec())
                })
                .collect();
            return self.uses_of(&called, How::Called, at);
        }
        let negated = at.checked_sub(1).is_some_and(|before| self.tokens.is(before, "not"));
        let tested = ["and", "then", "==", "~="].iter().any(|word| self.tokens.is(next, word));
        self.uses_of(paths, if negated || tested { How::Tested } else { How::Read }, at);
    }

    fn uses_of(&mut self, paths: &Paths, how: How, at: usize) {
        let line = self.tokens.line(at);
        for path in paths {
            if self.uses.len() >= MAX_USES {
                return;
            }
            let path = match path.first() {
                Some(Step::Member(root)) if root == "_G" => &path[1..],
                _ => &path[..],
            };
            if matches!(path.first(), Some(Step::Member(root)) if root == "kong" || root == "ngx") {
                self.uses.push(Use { path: path.to_vec(), how, line });
            }
        }
    }

    /// What the operand at `at` (a name or parentheses, with suffixes) stands for, and the token after it. Adds where the
    /// chains within parentheses begin to `begins`.
    fn operand(&self, at: usize, depth: usize, begins: &mut Vec<usize>) -> (Paths, usize) {
        let (paths, next) = match self.tokens.name(at) {
            Some(name) => {
                let known = self.frames.iter().rev().find_map(|frame| frame.names.get(name)).cloned();
                (known.unwrap_or_else(|| vec![vec![Step::Member(name.to_owned())]]), at + 1)
            }
            None => {
                let close = self.tokens.close_of(at);
                (self.value(at + 1, close, depth + 1, begins), close + 1)
            }
        };
        self.suffixes(paths, next)
    }

    fn suffixes(&self, mut paths: Paths, mut at: usize) -> (Paths, usize) {
        loop {
            let step = if self.tokens.is(at, ".") {
                let Some(name) = self.tokens.word(at + 1) else { break };
                at += 2;
                Step::Member(name.to_owned())
            } else if self.tokens.is(at, "[") {
                let close = self.tokens.close_of(at);
                let text = self.tokens.text(at + 1).filter(|_| close == at + 2).map(str::to_owned);
                at = close + 1;
                text.map_or(Step::Index, Step::Member)
            } else if self.tokens.is(at, "(") {
                let close = self.tokens.close_of(at);
                let only = at + 2 == close || self.tokens.is(at + 2, ",");
                let text = self.tokens.text(at + 1).filter(|_| only).map(str::to_owned);
                at = close + 1;
                Step::Call(text)
            } else if let Some(text) = self.tokens.text(at) {
                let text = text.to_owned();
                at += 1;
                Step::Call(Some(text))
            } else if self.tokens.is(at, "{") {
                at = self.tokens.close_of(at) + 1;
                Step::Call(None)
            } else {
                break;
            };
            for path in paths.iter_mut().filter(|path| path.len() < MAX_STEPS) {
                path.push(step.clone());
            }
        }
        (paths, at)
    }

    /// What the expression from `at` to `end` stands for: one of its operands, if only `and` and `or` join them. Adds
    /// where these begin to `begins`.
    fn value(&self, mut at: usize, end: usize, depth: usize, begins: &mut Vec<usize>) -> Paths {
        let (mut paths, before) = (Paths::new(), begins.len());
        while at < end {
            if self.tokens.name(at).is_some() || (self.tokens.is(at, "(") && depth < MAX_PARENTHESES) {
                begins.push(at);
                let (found, next) = self.operand(at, depth, begins);
                paths.extend(found);
                at = next;
            } else if self.tokens.is(at, "{") {
                at = self.tokens.close_of(at) + 1;
            } else if self.tokens.is(at, "function") {
                at = self.block_end(at) + 1;
            } else if self.tokens.text(at).is_some() || self.tokens.word(at).is_some() || self.tokens.ends_operand(at) {
                at += 1;
            } else {
                begins.truncate(before);
                return Paths::new();
            }
        }
        paths.truncate(MAX_PATHS);
        paths
    }

    /// The token after the expression at `at`.
    fn expression_end(&self, mut at: usize) -> usize {
        let (mut operand, mut conditions) = (false, 0_usize);
        while at < self.tokens.len() {
            if ["(", "{", "["].iter().any(|open| self.tokens.is(at, open)) {
                at = self.tokens.close_of(at);
                operand = true;
            } else if let Some(word) = self.tokens.word(at) {
                match word {
                    "and" | "or" | "not" => operand = false,
                    "if" if !operand => (operand, conditions) = (false, conditions + 1),
                    "then" | "elseif" if conditions > 0 => operand = false,
                    "else" if conditions > 0 => (operand, conditions) = (false, conditions - 1),
                    "function" if !operand => (at, operand) = (self.block_end(at), true),
                    "nil" | "true" | "false" if !operand => operand = true,
                    _ if self.tokens.name(at).is_some() && !operand => operand = true,
                    _ => return at,
                }
            } else if self.tokens.text(at).is_some() || self.tokens.is(at, "...") {
                operand = true;
            } else if self.tokens.ends_operand(at) {
                // A closing bracket of what is outside, or a number.
                if operand || self.tokens.is(at, ")") || self.tokens.is(at, "]") || self.tokens.is(at, "}") {
                    return at;
                }
                operand = true;
            } else if [",", ";", "=", "::"].iter().any(|symbol| self.tokens.is(at, symbol)) {
                return at;
            } else {
                operand = false;
            }
            at += 1;
        }
        at
    }

    /// The `end` of the function at `at`.
    fn block_end(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        for next in at..self.tokens.len() {
            match self.tokens.word(next) {
                Some("function" | "do" | "repeat") => depth += 1,
                Some("if") if !self.is_expression(next) => depth += 1,
                Some("end" | "until") => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return next;
            }
        }
        self.tokens.len()
    }
}
