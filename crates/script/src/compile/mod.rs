//! Compiles snippets to bytecode, once, when the configuration is read.

mod luau_only;
pub(crate) mod tokens;
mod translate;

use std::sync::Arc;

/// A compiled snippet, ready to be loaded into any number of VMs.
#[derive(Debug, Clone)]
pub struct Bytecode {
    pub(crate) code: Arc<[u8]>,
    pub(crate) chunk_name: Arc<str>,
    /// The text, for the names in errors.
    pub(crate) source: Arc<str>,
}

/// A snippet that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{chunk_name}:{line}: {message}")]
pub struct CompileError {
    /// The snippet's name as Lua shows it: `[string "return ("]`.
    pub chunk_name: String,
    /// Line in the text, from 1.
    pub line: usize,
    /// The compiler's message.
    pub message: String,
    /// What to do, if the reason is a difference between Luau and Kong's LuaJIT.
    pub help: Option<&'static str>,
    /// Whether Kong may accept it: the reason is a limit, or something that Luau lacks.
    pub of_luau: bool,
}

/// Limits of a snippet's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceLimits {
    /// Bytes.
    pub bytes: usize,
    /// Levels of brackets and blocks.
    pub nesting: usize,
}

impl Default for SourceLimits {
    fn default() -> Self {
        Self { bytes: 256 << 10, nesting: 100 }
    }
}

/// Functions that Luau's compiler must not inline as its built-ins, because that would bypass the environment: those that
/// Kong's list lacks, and those that are bounded or return something else here.
fn disabled_builtins(text: &str) -> Vec<String> {
    const GLOBAL: &str =
        "assert getmetatable rawequal rawget rawlen rawset setmetatable tonumber tostring typeof unpack";
    const MEMBERS: [(&str, &str); 6] = [
        (
            "bit32",
            "arshift band bnot bor btest bxor byteswap countlz countrz extract lrotate lshift replace rrotate rshift",
        ),
        (
            "buffer",
            "readi8 readu8 writei8 writeu8 readi16 readu16 writei16 writeu16 readi32 readu32 writei32 writeu32 readf32 \
             writef32 readf64 writef64 readinteger writeinteger len",
        ),
        (
            "integer",
            "add band bnot bor bswap btest bxor arshift clamp countlz countrz create div extract ge gt idiv le lrotate \
             lshift lt max min mod mul neg rem rrotate rshift sub tonumber udiv uge ugt ule ult urem",
        ),
        ("math", "max min clamp isfinite isinf isnan lerp map noise round sign"),
        ("table", "unpack"),
        ("vector", "abs angle ceil clamp create cross dot floor lerp magnitude max min normalize sign"),
    ];
    // However a snippet reaches a library, its name is in the text.
    let used = MEMBERS.iter().filter(|(library, _)| text.contains(library));
    let members =
        used.flat_map(|(library, names)| names.split_whitespace().map(move |name| format!("{library}.{name}")));
    GLOBAL.split_whitespace().map(str::to_owned).chain(members).collect()
}

/// Compiles `source` without running any of it.
///
/// # Errors
/// The source is malformed or exceeds a limit.
pub fn compile(source: &str, limits: &SourceLimits) -> Result<Bytecode, CompileError> {
    let chunk_name = chunk_name(source);
    let refuse = |line, message: &str, help: Option<&'static str>| {
        let (chunk_name, message) = (chunk_name.clone(), message.to_owned());
        Err(CompileError { chunk_name, line, message, help, of_luau: help.is_some() })
    };
    if source.starts_with('\x1b') {
        let message = "attempt to load chunk with wrong mode".to_owned();
        let help = Some("bytecode is refused: give the snippet's text");
        return Err(CompileError { chunk_name, line: 1, message, help, of_luau: false });
    }
    if source.len() > limits.bytes {
        let message = format!("the snippet is larger than {} bytes", limits.bytes);
        return refuse(1, &message, Some("make it smaller, or raise the setting lua.max_source_bytes"));
    }
    if let Some(line) = tokens::too_deep(source, limits.nesting) {
        let message = format!("the snippet is nested deeper than {} levels", limits.nesting);
        return refuse(line, &message, Some("make it flatter, or raise the setting lua.max_source_nesting"));
    }
    // LuaJIT ignores a first line that begins with `#`.
    let commented = source.starts_with('#').then(|| format!("--{source}"));
    let text = translate::translated(commented.as_deref().unwrap_or(source));
    // A function that the compiler inlines is missing among the callers that `error('...', 2)` counts.
    let level = if text.contains("error") { 1 } else { 2 };
    let compiler = mlua::chunk::Compiler::new().set_optimization_level(level).set_debug_level(1);
    let compiler = compiler.set_disabled_builtins(disabled_builtins(&text));
    match compiler.compile(&*text) {
        Ok(code) => {
            Ok(Bytecode { code: code.into(), chunk_name: format!("={chunk_name}").into(), source: source.into() })
        }
        Err(error) => {
            let text = match error {
                mlua::Error::SyntaxError { message, .. } => message,
                other => other.to_string(),
            };
            let (line, message) = split_position(&text);
            let at = source.lines().nth(line.saturating_sub(1)).unwrap_or("");
            refuse(line, message, help(at, message))
        }
    }
}

/// Part of a snippet that compiles, but behaves differently than in Kong's LuaJIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Line in the text, from 1.
    pub line: usize,
    /// The difference.
    pub what: &'static str,
    /// What to do.
    pub help: &'static str,
}

/// The parts of `source`, which compiles, that Kong refuses or reads differently.
pub fn differences(source: &str) -> Vec<Difference> {
    luau_only::differences(source)
}

/// Splits `3: message`, `:3: message` or `name:3: message` into line and message.
fn split_position(text: &str) -> (usize, &str) {
    let starts = std::iter::once(0).chain(text.match_indices(':').map(|(colon, _)| colon + 1));
    for start in starts {
        let rest = &text[start..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if let (Ok(line), Some(message)) = (rest[..digits].parse(), rest[digits..].strip_prefix(':')) {
            return (line, message.trim_start());
        }
    }
    (1, text)
}

/// The help for a syntax error that LuaJIT would not report.
fn help(line: &str, message: &str) -> Option<&'static str> {
    let words = || line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let number_suffix = |word: &str| {
        let digits = word.trim_end_matches(['L', 'l', 'U', 'u', 'i']);
        digits.len() < word.len() && digits.starts_with(|c: char| c.is_ascii_digit())
    };
    if words().any(|word| word == "goto") || line.contains("::") {
        return Some(
            "Luau has no `goto`, except to a label at the end of the loop around it: use a loop with `break`, or a \
             function with `return`",
        );
    }
    if message.contains("number") && words().any(number_suffix) {
        return Some("Luau has no `LL`, `ULL` or `i` number suffixes: write a plain number");
    }
    None
}

/// A snippet's name as LuaJIT shows it in errors: its first line, cut to 45 characters.
pub(crate) fn chunk_name(source: &str) -> String {
    const MAX_BYTES: usize = 45;
    let line = source.split(['\n', '\r']).next().unwrap_or("");
    let mut end = line.len().min(MAX_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let dots = if end < source.len() { "..." } else { "" };
    format!("[string \"{}{dots}\"]", &line[..end])
}
