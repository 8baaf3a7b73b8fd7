//! From a snippet's text to bytecode, once, when the configuration is read.

use std::sync::Arc;

/// A compiled snippet, ready to be loaded into any number of VMs.
#[derive(Debug, Clone)]
pub struct Bytecode {
    pub(super) code: Arc<[u8]>,
    pub(super) chunk_name: Arc<str>,
}

/// Why a text is not a snippet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{chunk_name}:{line}: {message}")]
pub struct CompileError {
    /// The text's name as Lua shows it: `[string "return ("]`.
    pub chunk_name: String,
    /// Line in the text, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
    /// What to do, where the reason is a difference between Luau and Kong's LuaJIT.
    pub help: Option<&'static str>,
}

/// What a snippet's text may be.
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

/// Functions that Luau's compiler would call past the environment, whether a snippet has them or not: what Kong's list
/// lacks, and what is bounded or answers otherwise here. The rest of its built-in ones are the snippets' own.
fn not_built_in(text: &str) -> Vec<String> {
    const GLOBAL: &str = "getmetatable rawequal rawget rawlen rawset setmetatable tostring typeof unpack";
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
        ("math", "clamp isfinite isinf isnan lerp map noise round sign"),
        ("table", "unpack"),
        ("vector", "abs angle ceil clamp create cross dot floor lerp magnitude max min normalize sign"),
    ];
    // Whatever the way there, the library's name is in the text.
    let used = MEMBERS.iter().filter(|(library, _)| text.contains(library));
    let members =
        used.flat_map(|(library, names)| names.split_whitespace().map(move |name| format!("{library}.{name}")));
    GLOBAL.split_whitespace().map(str::to_owned).chain(members).collect()
}

/// Compiles `source` without running any of it.
///
/// # Errors
/// What is wrong with it, with the line; or which of the limits it is past.
pub fn compile(source: &str, limits: &SourceLimits) -> Result<Bytecode, CompileError> {
    let chunk_name = chunk_name(source);
    let refuse = |line, message: &str, help| {
        Err(CompileError { chunk_name: chunk_name.clone(), line, message: message.to_owned(), help })
    };
    if source.starts_with('\x1b') {
        return refuse(
            1,
            "attempt to load chunk with wrong mode",
            Some("bytecode is refused: give the snippet's text"),
        );
    }
    if source.len() > limits.bytes {
        let message = format!("the snippet is larger than {} bytes", limits.bytes);
        return refuse(1, &message, Some("make it smaller, or raise the setting lua.max_source_bytes"));
    }
    if let Some(line) = super::nesting::too_deep(source, limits.nesting) {
        let message = format!("the snippet is nested deeper than {} levels", limits.nesting);
        return refuse(line, &message, Some("make it flatter, or raise the setting lua.max_source_nesting"));
    }
    // LuaJIT passes over a first line that begins with `#`.
    let commented = source.starts_with('#').then(|| format!("--{source}"));
    let text = commented.as_deref().unwrap_or(source);
    let compiler = mlua::chunk::Compiler::new().set_optimization_level(2).set_debug_level(1);
    let compiler = compiler.set_disabled_builtins(not_built_in(text));
    match compiler.compile(text) {
        Ok(code) => Ok(Bytecode { code: code.into(), chunk_name: format!("={chunk_name}").into() }),
        Err(error) => {
            let text = match error {
                mlua::Error::SyntaxError { message, .. } => message,
                other => other.to_string(),
            };
            let (line, message) = split_position(&text);
            let at = source.lines().nth(line.saturating_sub(1)).unwrap_or("");
            refuse(line, message, difference(at, message))
        }
    }
}

/// A place of a snippet that means something else here than in Kong's LuaJIT, though it compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Line in the text, from 1.
    pub line: usize,
    /// What is different.
    pub what: &'static str,
    /// What to do about it.
    pub help: &'static str,
}

/// Where `source` may give another result than in Kong.
pub fn differences(source: &str) -> Vec<Difference> {
    let joined = |line| Difference {
        line,
        what: "a number with a fraction that `..` joins to a text has all its digits here, and 14 in Kong",
        help: "write `tostring(x) .. text`, which gives Kong's digits in both",
    };
    super::joined::fractions(source).into_iter().map(joined).collect()
}

/// Takes `3: message`, `:3: message` or `name:3: message` apart.
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

/// What stands at a place that is sound for Kong's LuaJIT and not for Luau.
fn difference(line: &str, message: &str) -> Option<&'static str> {
    let words = || line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let number_suffix = |word: &str| {
        let digits = word.trim_end_matches(['L', 'l', 'U', 'u', 'i']);
        digits.len() < word.len() && digits.starts_with(|c: char| c.is_ascii_digit())
    };
    if words().any(|word| word == "goto") || line.contains("::") {
        return Some("Luau has no `goto`: use a loop with `break` or `continue`, or a function with `return`");
    }
    if message.contains("number") && words().any(number_suffix) {
        return Some("Luau has no `LL`, `ULL` or `i` number suffixes: write a plain number");
    }
    None
}

/// A text's name as LuaJIT shows it in errors: its first line, cut to 45 characters.
pub(super) fn chunk_name(source: &str) -> String {
    const LONGEST: usize = 45;
    let line = source.split(['\n', '\r']).next().unwrap_or("");
    let mut end = line.len().min(LONGEST);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let dots = if end < source.len() { "..." } else { "" };
    format!("[string \"{}{dots}\"]", &line[..end])
}
