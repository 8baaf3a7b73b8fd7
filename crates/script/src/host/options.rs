//! The options of a VM.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::profile::Dialect;
use crate::message::Style;
use crate::vault::Vault;

/// The budgets of scripts.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for one call of a snippet.
    pub deadline: Duration,
    /// Time for all calls of one plugin's snippets in one transaction.
    pub plugin_deadline: Duration,
    /// Bytes that one VM may hold, compiled snippets included.
    pub memory: usize,
    /// Limits of one value.
    pub value: ValueLimits,
    /// Lines that the scripts of one VM may log per second.
    pub log_lines_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(10),
            plugin_deadline: Duration::from_millis(50),
            memory: 64 << 20,
            value: ValueLimits::default(),
            log_lines_per_second: 100,
        }
    }
}

/// Limits of one value that a script returns or sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueLimits {
    /// Bytes of its JSON text.
    pub bytes: usize,
    /// Members, elements and scalars of all levels.
    pub nodes: usize,
    /// Levels of nesting, counted from the root of the message that it goes into.
    pub depth: usize,
}

impl Default for ValueLimits {
    /// The depth is cjson's limit in Kong.
    fn default() -> Self {
        Self { bytes: 1 << 20, nodes: 250_000, depth: 1000 }
    }
}

/// How many headers and arguments the functions of `kong` and `ngx` return by default.
#[derive(Debug, Clone, Copy)]
pub struct CountLimits {
    /// Request headers (Kong's `lua_max_req_headers`).
    pub req_headers: usize,
    /// Response headers (`lua_max_resp_headers`).
    pub resp_headers: usize,
    /// Query arguments (`lua_max_uri_args`).
    pub uri_args: usize,
    /// Form arguments (`lua_max_post_args`).
    pub post_args: usize,
}

impl Default for CountLimits {
    /// Kong's defaults.
    fn default() -> Self {
        Self { req_headers: 100, resp_headers: 100, uri_args: 100, post_args: 100 }
    }
}

/// The options of a VM.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The budgets of scripts.
    pub limits: Limits,
    /// The names that scripts may use.
    pub dialect: Dialect,
    /// How values are written.
    pub style: Style,
    /// Kong's exact behaviour where it is odd (the setting `kong_quirks`).
    pub kong_quirks: bool,
    /// Default numbers of headers and arguments.
    pub counts: CountLimits,
    /// Networks for which `kong.ip.is_trusted` is true.
    pub trusted_ips: Vec<IpNet>,
    /// The secrets of `kong.vault.get`.
    pub vault: Arc<Vault>,
}
