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

/// What a snippet can use in place of modules that are not offered: names, or their beginnings if they end with a dot.
const SUBSTITUTES: &[(&str, &str)] = &[
    ("kong.workspaces", "the message has workspace_name; kong.default_workspace is the workspace's id"),
    ("kong.tools.jose", "use resty.jwt to read and verify tokens"),
    ("kong.plugins.", "no snippet runs another plugin's code; resty.jwt reads tokens"),
    ("kong.tools.http", "use ngx.encode_args and ngx.decode_args, and kong.request for the request"),
    ("kong.tools.", "the other kong.tools modules are listed in docs/lua.md"),
    ("kong.concurrency", "snippets of a transaction run one after another"),
    ("kong.db", "the entities of the transaction are in kong.client and kong.router"),
    ("kong.", "the entities of the transaction are in kong.client and kong.router"),
    ("socket", "use ngx.now() for socket.gettime()"),
    ("socket.url", "use ngx.re.match, kong.request and kong.tools.uri"),
    ("resty.http", "no snippet reaches the network"),
    ("resty.http_headers", "kong.request.get_headers() finds names in any case"),
    ("resty.openssl", "use resty.openssl.digest, .hmac, .mac and .rand, and resty.jwt for signatures"),
    ("resty.openssl.", "use resty.openssl.digest, .hmac, .mac and .rand, and resty.jwt for signatures"),
    ("resty.jwt-validators", "pass functions by claim to resty.jwt's verify"),
    ("resty.evp", "use resty.jwt for signatures"),
    ("resty.aes", "no snippet encrypts; resty.sha256 and resty.hmac make digests"),
    ("resty.sha", "use resty.sha1, resty.sha256 or resty.sha512"),
    ("resty.ipmatcher", "use kong.tools.ip and kong.ip.is_trusted"),
    ("resty.jit-uuid", "use kong.tools.uuid"),
    ("resty.lrucache", "use kong.cache"),
    ("resty.lock", "snippets of a transaction run one after another"),
    ("resty.session", "use resty.cookie to read cookies"),
    ("resty.jq", "use cjson and Lua's tables"),
    ("resty.core", "ngx has its functions without it"),
    ("resty.core.", "ngx has its functions without it"),
    ("resty.redis", "no snippet reaches the network"),
    ("resty.mysql", "no snippet reaches the network"),
    ("resty.memcached", "no snippet reaches the network"),
    ("resty.aws", "no snippet reaches the network"),
    ("resty.azure", "no snippet reaches the network"),
    ("resty.gcp", "no snippet reaches the network"),
    ("resty.dns.", "no snippet reaches the network"),
    ("pgmoon", "no snippet reaches the network"),
    ("ffi", "no snippet calls C"),
    ("string.buffer", "use table.concat"),
    ("lyaml", "use cjson"),
    ("inspect", "use kong.log.inspect"),
    ("lua-cjson", "use cjson"),
    ("dkjson", "use cjson"),
    ("rapidjson", "use cjson"),
    ("basexx", "use ngx.encode_base64, ngx.base64 and resty.string"),
    ("luatz", "use os.date and os.time"),
    ("date", "use os.date and os.time"),
    ("version", "compare the numbers of kong.version_num"),
    ("argon2", "use resty.sha512 or resty.hmac"),
    ("bcrypt", "use resty.sha512 or resty.hmac"),
    ("xmlua", "use ngx.re"),
];

/// What to do about the module `name`, which a snippet may not require.
pub(crate) fn missing_module(name: &str, offered: bool) -> String {
    if offered {
        return format!("set untrusted_lua: strict, or list {name} in untrusted_lua_sandbox_requires, to allow it");
    }
    let exact = SUBSTITUTES.iter().find(|(known, _)| *known == name);
    let substitute = exact.or_else(|| {
        let family = |known: &str| known.ends_with('.') && name.starts_with(known);
        SUBSTITUTES.iter().filter(|(known, _)| family(known)).max_by_key(|(known, _)| known.len())
    });
    substitute.map_or_else(|| "no setting offers it".to_owned(), |(_, help)| format!("no setting offers it: {help}"))
}

/// What to do about the library member `name`, which only `strict` has.
pub(crate) fn missing_member(name: &str) -> String {
    format!("set untrusted_lua: strict, or list {name} in untrusted_lua_sandbox_environment, to allow it")
}
