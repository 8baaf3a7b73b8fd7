//! Checks of single settings.

use serde_json::Value;

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

/// An address or a network in CIDR notation.
pub(super) fn network(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text.parse::<ipnet::IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok() || text == "unix:" {
        return Ok(());
    }
    Err("expected an address or a network, like 10.0.0.0/8, 192.0.2.7 or fd00::/8".to_owned())
}
