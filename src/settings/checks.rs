//! Checks of single settings.

use serde_json::Value;

use crate::router::Flavor;
use logphase_config::diagnostic::suggest;

/// Kong's modes, and why two of them are not offered.
pub(super) fn profile(value: &Value) -> Result<(), String> {
    match value.as_str().unwrap_or_default() {
        "off" | "sandbox" | "strict" => Ok(()),
        "on" => Err("`on` is not offered: it would give snippets the files, sockets and processes of this machine. \
                     Use `strict`, and add names with untrusted_lua_sandbox_requires and _environment"
            .to_owned()),
        "lax" => Err("`lax` is not offered: use `strict`, and add names with untrusted_lua_sandbox_requires and \
                      _environment"
            .to_owned()),
        _ => Err("expected one of: off, sandbox, strict".to_owned()),
    }
}

/// Kong's flavors of the router, and why one of them is not offered.
pub(super) fn router_flavor(value: &Value) -> Result<(), String> {
    match value.as_str().unwrap_or_default() {
        name if Flavor::NAMES.contains(&name) => Ok(()),
        "traditional" => Err("`traditional` is not offered: its order depends on which fields the other routes have, and \
                              can differ after a restart of Kong. Use `traditional_compatible`, Kong's default, if at most \
                              one route matches each request, or if the routes that match differ only in the length of a \
                              path; docs/router.md has the other differences"
            .to_owned()),
        other => Err(match suggest(other, Flavor::NAMES.iter().copied()) {
            Some(near) => format!("expected one of: {}; did you mean `{near}`?", Flavor::NAMES.join(", ")),
            None => format!("expected one of: {}", Flavor::NAMES.join(", ")),
        }),
    }
}

/// A module that snippets can `require`.
pub(super) fn module(value: &Value) -> Result<(), String> {
    offered(value, "module", &logphase_script::modules())
}

/// A name of the sandbox's environment.
pub(super) fn name(value: &Value) -> Result<(), String> {
    offered(value, "name", &logphase_script::names())
}

fn offered(value: &Value, what: &str, offered: &[&'static str]) -> Result<(), String> {
    let name = value.as_str().unwrap_or_default();
    if offered.contains(&name) {
        return Ok(());
    }
    Err(match suggest(name, offered.iter().copied()) {
        Some(near) => format!("no {what} `{name}` is offered; did you mean `{near}`?"),
        None => format!("no {what} `{name}` is offered; there are {}", offered.join(", ")),
    })
}

/// The name of an environment variable, or its beginning followed by `*`.
pub(super) fn variable(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let name = text.strip_suffix('*').unwrap_or(text);
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    Err("expected the name of an environment variable, like DB_PASSWORD or LOGGING_*".to_owned())
}

/// Permissions of a file in octal, which its owner may read and write and nobody may execute.
pub(super) fn file_mode(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode & !0o666 == 0 && mode & 0o600 == 0o600 => Ok(()),
        _ => Err(
            "expected octal digits like \"0644\", \"0640\" or \"0600\": the owner reads and writes, nobody executes"
                .to_owned(),
        ),
    }
}

/// An address or a network in CIDR notation.
pub(super) fn network(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text.parse::<ipnet::IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok() || text == "unix:" {
        return Ok(());
    }
    Err("expected an address or a network, like 10.0.0.0/8, 192.0.2.7 or fd00::/8".to_owned())
}

/// A rule of `mesh.names`.
pub(super) fn mesh_name(text: &Value) -> Result<(), String> {
    text.as_str().unwrap_or_default().parse::<crate::mesh::NameRule>().map(drop)
}
