//! The names that snippets may use: Kong's setting `untrusted_lua` and its companions.

use serde::Deserialize;

/// A list of names, called as in the setting `untrusted_lua` of kong.conf. `on` and `lax` are not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// No snippets at all.
    Off,
    /// The list of Kong's sandbox, without what its Kafka Log page says is not available; `require` finds nothing.
    #[default]
    Sandbox,
    /// All of the list that Kong 3.14 calls strict, and every offered module.
    Strict,
}

/// The names that scripts of a VM may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dialect {
    /// The base list.
    pub profile: Profile,
    /// Modules that `require` offers in addition to those of the profile.
    pub requires: Vec<String>,
    /// Names in addition to those of the profile.
    pub environment: Vec<String>,
}

/// What `strict` has and `sandbox` lacks.
const STRICT_ONLY: [&str; 3] = ["io.type", "os.date", "string.rep"];

impl Dialect {
    /// Whether scripts have the global `name`, or the library member `name` written with a dot.
    pub(crate) fn has(&self, name: &str) -> bool {
        !STRICT_ONLY.contains(&name) || self.profile == Profile::Strict || self.adds(name)
    }

    fn adds(&self, name: &str) -> bool {
        let library = |added: &str| name.strip_prefix(added).is_some_and(|rest| rest.starts_with('.'));
        self.environment.iter().any(|added| added == name || library(added))
    }

    /// Whether scripts may require the offered module `name`.
    pub(crate) fn may_require(&self, name: &str) -> bool {
        self.profile == Profile::Strict || self.requires.iter().any(|given| given == name)
    }
}

/// The names that the setting `untrusted_lua_sandbox_environment` accepts: libraries, and what `sandbox` lacks. Names
/// that every profile has are accepted as well, because a configuration made for Kong may list them.
pub fn names() -> Vec<&'static str> {
    let mut names = STRICT_ONLY.to_vec();
    names.extend(["bit", "coroutine", "io", "jit", "kong", "math", "ngx", "os", "string", "table"]);
    names
}

/// What a snippet can use in place of a module or function that is not offered.
const SUBSTITUTES: [(&str, &str); 9] = [
    ("kong.workspaces", "the message has workspace_name; kong.default_workspace is the workspace's id"),
    ("socket", "use ngx.now() for socket.gettime()"),
    ("resty.http", "no snippet reaches the network"),
    ("kong.db", "the entities of the transaction are in kong.client and kong.router"),
    ("ffi", "no snippet calls C"),
    ("string.buffer", "use table.concat"),
    ("lyaml", "use cjson"),
    ("resty.lrucache", "use kong.cache"),
    ("resty.core", "ngx has its functions without it"),
];

/// What to do about the module `name`, which a snippet may not require.
pub(crate) fn missing_module(name: &str, offered: bool) -> String {
    if offered {
        return format!("set untrusted_lua: strict, or list {name} in untrusted_lua_sandbox_requires, to allow it");
    }
    let substitute = SUBSTITUTES.iter().find(|(known, _)| *known == name);
    substitute.map_or_else(|| "no setting offers it".to_owned(), |(_, help)| format!("no setting offers it: {help}"))
}

/// What to do about the library member `name`, which only `strict` has.
pub(crate) fn missing_member(name: &str) -> String {
    format!("set untrusted_lua: strict, or list {name} in untrusted_lua_sandbox_environment, to allow it")
}
