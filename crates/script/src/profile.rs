//! What snippets may call: Kong's setting `untrusted_lua` and its kin.

use serde::Deserialize;

use super::module;

/// A list of names. The setting `untrusted_lua` of kong.conf has the same words; `on` and `lax` are not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// No snippets at all.
    Off,
    /// The list of Kong's sandbox, without what its Kafka Log page says is not available; nothing may be required.
    #[default]
    Sandbox,
    /// All of the list that Kong 3.14 calls strict, and every module that is offered.
    Strict,
}

/// What scripts of a VM may call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dialect {
    /// The list to begin with.
    pub profile: Profile,
    /// Modules to `require` beside those of the profile.
    pub requires: Vec<String>,
    /// Names beside those of the profile.
    pub environment: Vec<String>,
}

/// What `strict` has and `sandbox` lacks.
const STRICT_ONLY: [&str; 3] = ["io.type", "os.date", "string.rep"];

impl Dialect {
    /// Whether scripts have the global `name`, or the member `name` of a library written with a dot.
    pub(super) fn has(&self, name: &str) -> bool {
        !STRICT_ONLY.contains(&name) || self.profile == Profile::Strict || self.adds(name)
    }

    fn adds(&self, name: &str) -> bool {
        let library = |added: &str| name.strip_prefix(added).is_some_and(|rest| rest.starts_with('.'));
        self.environment.iter().any(|added| added == name || library(added))
    }

    /// Whether scripts may require the module `name`.
    pub(super) fn may_require(&self, name: &str) -> bool {
        let offered = module::offered().any(|module| module == name);
        offered && (self.profile == Profile::Strict || self.requires.iter().any(|given| given == name))
    }
}

/// The modules that scripts can be allowed to require.
pub fn modules() -> Vec<&'static str> {
    module::offered().collect()
}

/// The names that the setting `untrusted_lua_sandbox_environment` may list: libraries, and what `sandbox` lacks. Names
/// that every profile has are taken as well, as a configuration made for Kong may list them.
pub fn names() -> Vec<&'static str> {
    let mut names = STRICT_ONLY.to_vec();
    names.extend(["bit", "coroutine", "io", "jit", "kong", "math", "ngx", "os", "string", "table"]);
    names
}
