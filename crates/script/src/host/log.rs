//! Lines that scripts log.

use logphase_io::printable;
use mlua::Value as Lv;

use super::state::State;
use crate::runtime::{kind_name, lua_number};

/// Bytes that a logged line is cut to.
pub(crate) const MAX_LINE: usize = 4096;

/// Logs the concatenation of `parts`, as nginx does.
pub(crate) fn write_parts(state: &State, level: &str, parts: &[Lv]) {
    write_line(state, level, "", |line| push_all(line, parts));
}

/// Logs one line, cut to [`MAX_LINE`]. `fill` writes it, with control characters escaped.
pub(crate) fn write_line(state: &State, level: &str, prefix: &str, fill: impl FnOnce(&mut String)) {
    let second = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let is_error = matches!(level, "emerg" | "alert" | "crit" | "err");
    let (allowed, dropped) = state.log_rate.take(state.plugin_index(), is_error, second);
    let plugin = state.plugin_name.borrow().clone();
    if dropped > 0 {
        tracing::warn!(%plugin, dropped, "scripts logged more lines than the setting lua.log_per_second allows");
    }
    if !allowed {
        return;
    }
    let mut line = prefix.to_owned();
    fill(&mut line);
    if line.len() > MAX_LINE {
        let cut = (0..=MAX_LINE).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(cut);
        line.push_str("...");
    }
    match level {
        _ if is_error => tracing::error!(target: "script", %plugin, level, "{line}"),
        "warn" => tracing::warn!(target: "script", %plugin, "{line}"),
        "notice" | "info" => tracing::info!(target: "script", %plugin, "{line}"),
        _ => tracing::debug!(target: "script", %plugin, "{line}"),
    }
}

/// Appends `arguments` one after the other, as nginx does.
pub(crate) fn push_all(line: &mut String, arguments: &[Lv]) {
    for argument in arguments {
        if line.len() < MAX_LINE {
            push_argument(line, argument);
        }
    }
}

/// Appends one argument.
pub(crate) fn push_argument(line: &mut String, argument: &Lv) {
    match argument {
        Lv::Nil => line.push_str("nil"),
        Lv::Boolean(value) => line.push_str(if *value { "true" } else { "false" }),
        Lv::Integer(number) => line.push_str(&lua_number(*number as f64)),
        Lv::Number(number) => line.push_str(&lua_number(*number)),
        Lv::String(text) => push_text(line, &text.as_bytes(), MAX_LINE),
        other => line.push_str(kind_name(other)),
    }
}

/// Appends at most `limit` bytes of a text, with hidden characters as escapes.
pub(crate) fn push_text(line: &mut String, bytes: &[u8], limit: usize) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]);
    for character in shown.chars() {
        printable::push(line, character);
    }
}
