//! The table of codes. The meaning of a code never changes.

mod examples;

pub use examples::{EXAMPLES, Example};

/// A code and its explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The code itself, like `K0102`.
    pub code: &'static str,
    /// What it means, in a few words.
    pub title: &'static str,
    /// The longer explanation that `explain` prints.
    pub text: &'static str,
}

const fn code(code: &'static str, title: &'static str, text: &'static str) -> Code {
    Code { code, title, text }
}

/// The text is not YAML or JSON.
pub const SYNTAX: &str = "K0001";
/// A duplicate key in a mapping.
pub const DUPLICATE_KEY: &str = "K0002";
/// A document that exceeds a limit of nesting or size.
pub const TOO_LARGE: &str = "K0003";
/// A key that is not a string, a bad merge or an unknown tag.
pub const BAD_NODE: &str = "K0004";
/// An environment variable that a file refers to.
pub const ENVIRONMENT: &str = "K0005";
/// More than one document, or none.
pub const DOCUMENTS: &str = "K0006";
/// A value of the wrong type.
pub const TYPE: &str = "K0101";
/// A field that does not exist.
pub const UNKNOWN_FIELD: &str = "K0102";
/// A required field that is missing.
pub const REQUIRED: &str = "K0103";
/// An invalid value of the right type.
pub const VALUE: &str = "K0104";
/// Fields that exclude or need each other.
pub const ENTITY_CHECK: &str = "K0105";
/// A missing or unknown `_format_version`.
pub const FORMAT_VERSION: &str = "K0201";
/// An unknown plugin.
pub const UNKNOWN_PLUGIN: &str = "K0202";
/// A reference to an entity that does not exist.
pub const REFERENCE: &str = "K0203";
/// A value that must be unique and is not.
pub const UNIQUE: &str = "K0204";
/// A plugin that does not support its scope or protocols.
pub const SCOPE: &str = "K0205";
/// A plugin that does not run in the log phase.
pub const NOT_RUN: &str = "K0206";
/// An unknown kind of entity.
pub const UNKNOWN_ENTITY: &str = "K0207";
/// A deprecated form.
pub const DEPRECATED: &str = "K0208";
// K0209 was a plugin without a sink, until all had one.
/// A file that the confinement of the running process excludes.
pub const OUT_OF_REACH: &str = "K0210";
/// A route that the router cannot use.
pub const EXPRESSION: &str = "K0211";
/// An object of Kubernetes that the log phase does not use.
pub const NOT_USED: &str = "K0212";
/// A vault reference that has no value here.
pub const VAULT: &str = "K0213";
/// A plugin's condition that cannot be evaluated.
pub const CONDITION: &str = "K0214";
/// Lua that does not compile.
pub const LUA: &str = "K0301";
// K0302 was a malformed key path, until every text was one.
/// A snippet although the settings allow none.
pub const NO_LUA: &str = "K0303";
/// Lua that gives another result than in Kong.
pub const DIALECT: &str = "K0304";
/// Something that snippets ask for and transactions lack.
pub const NOT_SENT: &str = "K0305";
/// A name in a snippet that the settings do not allow.
pub const REFUSED_NAME: &str = "K0306";
/// A function for a phase before the log phase.
pub const EARLIER_PHASE: &str = "K0307";
/// A name in a snippet that does not exist, or that its phase may not use.
pub const UNKNOWN_NAME: &str = "K0308";
/// A setting that does not exist.
pub const UNKNOWN_SETTING: &str = "K0401";
/// A setting with an invalid value.
pub const SETTING: &str = "K0402";
/// A `LOGPHASE_` variable that is no setting.
pub const UNKNOWN_VARIABLE: &str = "K0403";
/// An input that others can write to, or a secret that others can read.
pub const EXPOSED: &str = "K0404";
/// A variable that Kubernetes sets for a Service.
pub const SERVICE_VARIABLE: &str = "K0405";
/// A file that cannot be read.
pub const UNREADABLE: &str = "K0501";
/// A test file that names no subject, or two.
pub const TEST_SUBJECT: &str = "K0601";
/// A test without a usable transaction.
pub const TEST_TRANSACTION: &str = "K0602";
/// A plugin of a test that its configuration does not have.
pub const TEST_PLUGIN: &str = "K0603";
/// An unknown matcher in a test.
pub const TEST_MATCHER: &str = "K0604";
/// A mistake in the template of an access log.
pub const TEMPLATE: &str = "K0701";

/// Every code, sorted.
pub const CODES: &[Code] = &[
    code(
        SYNTAX,
        "the text is not YAML or JSON",
        "The file cannot be parsed. The caret shows where parsing stopped; the cause is often a line above: an indentation, a missing quote, a tab.",
    ),
    code(
        DUPLICATE_KEY,
        "a duplicate key",
        "A key may appear once in a mapping. Kong silently keeps one of the two; here it is an error, because the other would be lost.",
    ),
    code(
        TOO_LARGE,
        "a document that exceeds a limit",
        "The document nests deeper, or its aliases expand to more, than any real configuration does.",
    ),
    code(
        BAD_NODE,
        "an unsupported YAML node",
        "Keys must be strings, `<<` merges only mappings, and only the core tags of YAML are supported.",
    ),
    code(
        ENVIRONMENT,
        "an environment variable that the file refers to",
        "As with decK, `${{ env \"DECK_X\" }}` is replaced by the variable's value before the file is parsed. The name must start with DECK_, and the variable must be set if something that runs here uses the value; other variables that are not set are named in a note.",
    ),
    code(DOCUMENTS, "not exactly one document", "A file holds one document, with a mapping at the top."),
    code(TYPE, "a value of the wrong type", "Write strings that look like numbers or booleans in quotes."),
    code(
        UNKNOWN_FIELD,
        "a field that does not exist",
        "Unknown fields are refused, as in Kong, because a misspelt one would silently have no effect.",
    ),
    code(REQUIRED, "a required field is missing", "The entity or plugin does not work without this field."),
    code(
        VALUE,
        "an invalid value",
        "The value has the right type but is out of range, not one of the choices, or of the wrong form.",
    ),
    code(
        ENTITY_CHECK,
        "fields that exclude or need each other",
        "Each field is valid on its own, but not together with the others.",
    ),
    code(
        FORMAT_VERSION,
        "`_format_version` is missing or unknown",
        "A declarative file starts with `_format_version: \"3.0\"`; 1.1, 2.1 and 3.0 are read. It is a string: write the quotes.",
    ),
    code(
        UNKNOWN_PLUGIN,
        "an unknown plugin",
        "It is neither a plugin that runs here nor another plugin of Kong. A custom plugin is skipped; the setting \
         `custom_plugins` says which there may be.",
    ),
    code(
        REFERENCE,
        "a reference to an entity that does not exist",
        "Services, routes, consumers and consumer groups are referred to by name (consumers by username) or id, and must be in the same configuration.",
    ),
    code(
        UNIQUE,
        "a value that must be unique",
        "Names and ids are unique, and a scope has at most one plugin of a name.",
    ),
    code(
        SCOPE,
        "a plugin with an unsupported scope or protocol",
        "Not every plugin can be applied to a consumer or consumer group, and its protocols must be among those it supports.",
    ),
    code(
        NOT_RUN,
        "a plugin or policy that does not run here",
        "The plugin works while Kong proxies and does nothing in the log phase, or it sends in Kong what Logphase does not send. \
         Policies for the access logs of a mesh (Kuma, Kong Mesh) are checked, and refused because nothing applies them yet.",
    ),
    code(
        UNKNOWN_ENTITY,
        "an unknown kind of entity",
        "The top level of a declarative file holds lists of entities and keys starting with an underscore.",
    ),
    code(DEPRECATED, "a deprecated form", "It still works. Write the new form when you next edit the file."),
    code(
        OUT_OF_REACH,
        "a file that the running process cannot open",
        "On Linux the service opens only the files that it was started with (Landlock), which cannot be loosened while \
         it runs. Restart it, or name directories of plugins to come in `confinement.paths`.",
    ),
    code(
        EXPRESSION,
        "a route that the router cannot use",
        "Its expression, or the one that its fields are translated to, is not valid in Kong's router language, and Kong \
         refuses it too. It is an error if an input finds routes (`match_routes`), and a warning otherwise.",
    ),
    code(
        NOT_USED,
        "objects that the log phase does not use",
        "A file of Kubernetes has objects besides those that become routes, services, consumers and plugins. They are left out.",
    ),
    code(
        VAULT,
        "a vault reference without a value",
        "`{vault://env/NAME}` stands for an environment variable that the setting `vault.env.allow` names, in the fields that \
         Kong's schemas allow references in. Other vaults are reached by Kong alone. See docs/vaults.md.",
    ),
    code(
        CONDITION,
        "a condition that cannot be evaluated",
        "The `condition` of a plugin is an expression of the router language (Kong 3.14) or of CEL (from 3.15 on), over fields that \
         a finished transaction has. Plugins that only run functions have none.",
    ),
    code(
        LUA,
        "Lua that does not compile",
        "The snippet is compiled when the configuration is read. The line is the one in your file.",
    ),
    code(
        NO_LUA,
        "a snippet although the settings allow none",
        "The setting `untrusted_lua: off` refuses every configuration with Lua in it. Remove it, or set `sandbox`.",
    ),
    code(
        DIALECT,
        "Lua that gives another result than in Kong",
        "It compiles, but its result can differ from that of Kong's LuaJIT. The help says how to write it for both.",
    ),
    code(
        NOT_SENT,
        "something that transactions lack",
        "The plugin or its snippet asks for something that the log object of Kong does not have, so that a proxy has to send it along in `_context`, and the proxy does not. For Kong, `logphase forwarder` prints a configuration that sends it.",
    ),
    code(
        REFUSED_NAME,
        "a name in a snippet that the settings do not allow",
        "The snippet uses a global, a module or a function that its environment does not have, so that the field fails when it \
         runs. The help names the setting that allows it, if there is one; `check --suggest` prints the smallest settings.",
    ),
    code(
        EARLIER_PHASE,
        "a function for a phase before the log phase",
        "Kong runs it while it serves the request, and what it adds to the log object arrives here. For traffic that Kong did \
         not serve, the setting `replay_phases` runs it before the log phase, on the finished transaction; what would change \
         the traffic does nothing then. See docs/phases.md.",
    ),
    code(
        UNKNOWN_NAME,
        "a name in a snippet that does not exist",
        "The snippet uses a global, a function or a member that nothing defines, so that it is nil when it runs, or a function that \
         its phase may not call. It is often misspelt; the help has the nearest name. What a snippet only tests is not reported.",
    ),
    code(
        UNKNOWN_SETTING,
        "an unknown setting",
        "Unknown settings are refused, because a misspelt one would silently have no effect.",
    ),
    code(
        SETTING,
        "an invalid value of a setting",
        "Durations are written like `30s` or `500ms` (a bare number is seconds), sizes like `8MiB` or `1m` (a bare number is bytes).",
    ),
    code(
        UNKNOWN_VARIABLE,
        "a LOGPHASE_ variable that is no setting",
        "Every setting has a variable: LOGPHASE_ and its path in capitals with underscores.",
    ),
    code(
        EXPOSED,
        "an input or a secret that is open to others",
        "An input listens beyond this machine and does not ask senders who they are, or shows their tokens to the network; or \
         every user of this machine can read a secret file. See docs/security.md.",
    ),
    code(
        SERVICE_VARIABLE,
        "a variable that Kubernetes sets for a Service",
        "Beside a Service named `logphase`, Kubernetes sets variables such as LOGPHASE_PORT and LOGPHASE_SERVICE_HOST in every pod. \
         They are no settings and are not read; `enableServiceLinks: false` in the pod's specification turns them off.",
    ),
    code(UNREADABLE, "a file that cannot be read", "The file is missing, is not readable, or is not UTF-8."),
    code(
        TEST_SUBJECT,
        "a test file without a subject",
        "A test file has one of `config` (paths of declarative files), `plugins` and `fields`.",
    ),
    code(
        TEST_TRANSACTION,
        "a test without a usable transaction",
        "Each test has a transaction, its own or that at the top of the file; `with` says what is different in it.",
    ),
    code(
        TEST_PLUGIN,
        "a plugin that the configuration does not have",
        "`expect` names plugins of the tested configuration, by name or instance name.",
    ),
    code(
        TEST_MATCHER,
        "an unknown matcher",
        "Matchers are `$any: true`, `$type: TYPE`, `$matches: REGEX`, `$contains: TEXT` and `$is: VALUE`.",
    ),
    code(
        TEMPLATE,
        "a mistake in the template of an access log",
        "The template is not in Envoy's format language, or reads what the entries do not have. See docs/access-log-format.md.",
    ),
];

impl Code {
    /// A file with the mistake, if a short one shows it.
    pub fn example(&self) -> Option<&'static Example> {
        examples::example(self.code)
    }
}

/// The entry of `code`, whatever its case.
pub fn explain(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|entry| entry.code.eq_ignore_ascii_case(code))
}
