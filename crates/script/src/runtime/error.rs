//! Errors raised by scripts and by host functions, and the messages that users see.

use logphase_io::printable;
use mlua::{Lua, Value as Lv};

/// The budget that stopped a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The deadline of one call.
    Deadline,
    /// The deadline of all snippets of one plugin in one transaction.
    PluginDeadline,
    /// The VM's memory limit.
    Memory,
    /// The returned value is too large, too deep or has too many nodes.
    Value,
    /// The script was not run: it exceeded its time or memory too often in a row.
    Suspended,
}

impl Stop {
    /// All variants, in order.
    pub const ALL: [Self; 5] = [Self::Deadline, Self::PluginDeadline, Self::Memory, Self::Value, Self::Suspended];

    /// The label used in metrics and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deadline => "time",
            Self::PluginDeadline => "plugin_time",
            Self::Memory => "memory",
            Self::Value => "value",
            Self::Suspended => "suspended",
        }
    }
}

/// A snippet that failed. The message it ran on is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    /// Lua's or Kong's words, with the position in the snippet where Lua gives one.
    pub message: String,
    /// Line in the snippet, from 1.
    pub line: Option<usize>,
    /// The exceeded budget, if that is why it failed.
    pub stop: Option<Stop>,
}

/// Luau's words for a refused allocation.
pub(crate) const NOT_ENOUGH_MEMORY: &str = "not enough memory";

/// The error of a script that exceeded a budget.
pub(crate) fn stopped(stop: Stop, message: String) -> ScriptError {
    ScriptError { message, line: None, stop: Some(stop) }
}

/// An error without a position.
pub(crate) fn plain_error(message: &str) -> ScriptError {
    ScriptError { message: log_line(message), line: None, stop: None }
}

/// Converts Lua's error, without mlua's wrapping and the traceback.
pub(crate) fn script_error(error: &mlua::Error) -> ScriptError {
    match error {
        mlua::Error::CallbackError { cause, .. } => script_error(cause),
        mlua::Error::MemoryError(_) => stopped(Stop::Memory, NOT_ENOUGH_MEMORY.to_owned()),
        mlua::Error::RuntimeError(text) => {
            let message = without_address(positioned(text));
            let stop = (message == NOT_ENOUGH_MEMORY).then_some(Stop::Memory);
            ScriptError { line: line_of(&message), message: log_line(&message), stop }
        }
        other => plain_error(&other.to_string()),
    }
}

/// An error's text as one line of bounded length: a script or a transaction may have written it.
fn log_line(text: &str) -> String {
    const MAX_BYTES: usize = 1000;
    let mut line = String::new();
    for character in text.chars() {
        if line.len() >= MAX_BYTES {
            line.push_str("...");
            break;
        }
        printable::push(&mut line, character);
    }
    line
}

/// An error's message without the traceback. An error raised in the bundled Lua gets the position of the snippet's line
/// that called it.
fn positioned(text: &str) -> String {
    let (message, traceback) = text.split_once("\nstack traceback:").unwrap_or((text, ""));
    let bundled = message.strip_prefix("logphase:").and_then(|rest| rest.split_once(": "));
    let caller = traceback.lines().map(str::trim_start).find(|line| line.starts_with("[string \""));
    match (bundled, caller.and_then(|line| line.split_once(": in "))) {
        (Some((_, what)), Some((position, _))) => format!("{position}: {what}"),
        _ => message.to_owned(),
    }
}

/// The VM's text of a raised value that is no text, like `table: 0x7f5c...`, as `tostring` shows it to scripts.
fn without_address(message: String) -> String {
    let Some((kind, address)) = message.split_once(": ") else { return message };
    let is_kind = ["table", "function", "thread", "userdata", "buffer", "vector"].contains(&kind);
    match (is_kind, address) {
        (true, "(nil)") => format!("{kind}: NULL"),
        (true, address) if address.starts_with("0x") => kind.to_owned(),
        _ => message,
    }
}

/// The line in `[string "..."]:3: message`.
fn line_of(message: &str) -> Option<usize> {
    let after = message.strip_prefix("[string \"")?.split_once("\"]:")?.1;
    after[..after.find(':')?].parse().ok()
}

/// What Lua calls the type of `value`.
pub(crate) fn kind_name(value: &Lv) -> &'static str {
    match value {
        Lv::Integer(_) => "number",
        Lv::LightUserData(_) => "userdata",
        other => other.type_name(),
    }
}

/// An error at the position of the call.
pub(crate) fn raise(lua: &Lua, message: &str) -> mlua::Error {
    let position = lua.inspect_stack(1, |frame| {
        let source = frame.source().short_src.map(|name| name.into_owned()).unwrap_or_default();
        (source, frame.current_line())
    });
    mlua::Error::runtime(match position {
        Some((source, Some(line))) if !source.is_empty() => format!("{source}:{line}: {message}"),
        _ => message.to_owned(),
    })
}

/// Lua's error for an argument that `reason` rules out.
pub(crate) fn bad_argument(lua: &Lua, position: usize, function: &str, reason: &str) -> mlua::Error {
    raise(lua, &format!("bad argument #{position} to '{function}' ({reason})"))
}

/// Lua's error for an argument of the wrong type.
pub(crate) fn wrong_type(lua: &Lua, position: usize, function: &str, expected: &str, given: &Lv) -> mlua::Error {
    bad_argument(lua, position, function, &format!("{expected} expected, got {}", kind_name(given)))
}
