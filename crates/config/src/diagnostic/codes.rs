//! The table of codes. A code is never given a second meaning.

/// What a code stands for.
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
/// The same key twice in one mapping.
pub const DUPLICATE_KEY: &str = "K0002";
/// Past a limit of nesting or size.
pub const TOO_LARGE: &str = "K0003";
/// A key that is not a string, a bad merge or an unknown tag.
pub const BAD_NODE: &str = "K0004";
/// An environment variable that a file asks for.
pub const ENVIRONMENT: &str = "K0005";
/// More than one document, or none.
pub const DOCUMENTS: &str = "K0006";
/// A value of the wrong type.
pub const TYPE: &str = "K0101";
/// A field that does not exist.
pub const UNKNOWN_FIELD: &str = "K0102";
/// A field that must be there is not.
pub const REQUIRED: &str = "K0103";
/// A value of the right type that is not allowed.
pub const VALUE: &str = "K0104";
/// Fields that do not go together.
pub const ENTITY_CHECK: &str = "K0105";
/// `_format_version` is missing or not one we read.
pub const FORMAT_VERSION: &str = "K0201";
/// A plugin that nobody has.
pub const UNKNOWN_PLUGIN: &str = "K0202";
/// A reference to an entity that is not there.
pub const REFERENCE: &str = "K0203";
/// Two of what there may be one of.
pub const UNIQUE: &str = "K0204";
/// A plugin where it cannot be used.
pub const SCOPE: &str = "K0205";
/// A plugin that is not run here.
pub const NOT_RUN: &str = "K0206";
/// A kind of entity that does not exist.
pub const UNKNOWN_ENTITY: &str = "K0207";
/// An old way to write something.
pub const DEPRECATED: &str = "K0208";
// K0209 was a plugin without a sink, until all had one.
/// A file that the walls of the running process keep it from.
pub const OUT_OF_REACH: &str = "K0210";
/// Lua that does not compile.
pub const LUA: &str = "K0301";
/// A key path of an edit that is malformed.
pub const KEY_PATH: &str = "K0302";
/// A snippet where the settings allow none.
pub const NO_LUA: &str = "K0303";
/// Lua that means something else than in Kong.
pub const DIALECT: &str = "K0304";
/// A setting that does not exist.
pub const UNKNOWN_SETTING: &str = "K0401";
/// A setting with a value that it cannot have.
pub const SETTING: &str = "K0402";
/// An environment variable that is no setting.
pub const UNKNOWN_VARIABLE: &str = "K0403";
/// A file that cannot be read.
pub const UNREADABLE: &str = "K0501";
/// A test file that does not say what it tests, or says it twice.
pub const TEST_SUBJECT: &str = "K0601";
/// A test's transaction.
pub const TEST_TRANSACTION: &str = "K0602";
/// A plugin that a test names and its configuration lacks.
pub const TEST_PLUGIN: &str = "K0603";
/// A matcher of a test that means nothing.
pub const TEST_MATCHER: &str = "K0604";

/// Every code, sorted.
pub const CODES: &[Code] = &[
    code(
        SYNTAX,
        "the text is not YAML or JSON",
        "The file cannot be parsed. The caret shows where the parser gave up; the cause is often a line above: an indentation, a missing quote, a tab.",
    ),
    code(
        DUPLICATE_KEY,
        "the same key twice",
        "A mapping holds each key once. Kong silently keeps one of the two; here it is an error, because the other would be lost.",
    ),
    code(
        TOO_LARGE,
        "past a limit of nesting or size",
        "The document nests deeper, or its aliases expand to more, than any real configuration does.",
    ),
    code(
        BAD_NODE,
        "a node that has no meaning here",
        "Keys must be strings; `<<` merges mappings only; tags other than the core ones of YAML are not known.",
    ),
    code(
        ENVIRONMENT,
        "an environment variable that the file asks for",
        "As with decK, `${{ env \"DECK_X\" }}` is replaced by the variable's value before the file is parsed. The name must start with DECK_, and the variable must be set.",
    ),
    code(DOCUMENTS, "not exactly one document", "A file holds one document, with a mapping at the top."),
    code(TYPE, "a value of the wrong type", "Write strings that look like numbers or booleans in quotes."),
    code(
        UNKNOWN_FIELD,
        "a field that does not exist",
        "Kong refuses unknown fields, because a misspelt one would silently not take effect. So do we.",
    ),
    code(REQUIRED, "a required field is missing", "The entity or plugin cannot work without this field."),
    code(
        VALUE,
        "a value that is not allowed",
        "The value has the right type but is out of range, not one of the choices, or of the wrong form.",
    ),
    code(ENTITY_CHECK, "fields that do not go together", "Each field is right on its own, but not with the others."),
    code(
        FORMAT_VERSION,
        "`_format_version` is missing or unknown",
        "A declarative file starts with `_format_version: \"3.0\"`; 1.1, 2.1 and 3.0 are read. It is a string: write the quotes.",
    ),
    code(
        UNKNOWN_PLUGIN,
        "a plugin that is not known",
        "Neither one of the plugins that run here nor another plugin of Kong's.",
    ),
    code(
        REFERENCE,
        "a reference to an entity that is not there",
        "Services, routes, consumers and consumer groups are referred to by name (consumers by username) or id, and must be in the same configuration.",
    ),
    code(UNIQUE, "two of what there may be one of", "Names and ids are unique, and so is a plugin for one scope."),
    code(
        SCOPE,
        "a plugin where it cannot be used",
        "Not every plugin can be put on a consumer or consumer group, and its protocols must be among those it supports.",
    ),
    code(
        NOT_RUN,
        "a plugin that is not run here",
        "It does its work while Kong proxies; there is nothing for it to do in the log phase.",
    ),
    code(
        UNKNOWN_ENTITY,
        "a kind of entity that does not exist",
        "The top level of a declarative file holds lists of entities and keys starting with an underscore.",
    ),
    code(
        DEPRECATED,
        "an old way to write something",
        "It is still understood. Write the new form when you next edit the file.",
    ),
    code(
        OUT_OF_REACH,
        "a file that the running process is kept from",
        "On Linux the service opens only the files that it was started with (Landlock), which cannot be loosened while \
         it runs. Restart it, or name directories of plugins to come in `confinement.paths`.",
    ),
    code(
        LUA,
        "Lua that does not compile",
        "The snippet is compiled when the configuration is read. The line is the one in your file.",
    ),
    code(
        KEY_PATH,
        "a malformed key path",
        "Dots nest, `\\.` is a dot in a name, and `[n]` is an element of an array, counted from 1.",
    ),
    code(
        NO_LUA,
        "a snippet where the settings allow none",
        "The setting `untrusted_lua: off` refuses every configuration with Lua in it. Take it out, or allow `sandbox`.",
    ),
    code(
        DIALECT,
        "Lua that means something else than in Kong",
        "It compiles, and gives another result than Kong's LuaJIT may give. The help says how to write it for both.",
    ),
    code(
        UNKNOWN_SETTING,
        "a setting that does not exist",
        "Unknown settings are refused, because a misspelt one would silently not take effect.",
    ),
    code(
        SETTING,
        "a setting with a value that it cannot have",
        "Durations are written like `30s` or `500ms` (a bare number is seconds), sizes like `8MiB` or `1m` (a bare number is bytes).",
    ),
    code(
        UNKNOWN_VARIABLE,
        "a LOGPHASE_ variable that is no setting",
        "Every setting has a variable: LOGPHASE_ and its path in capitals with underscores.",
    ),
    code(UNREADABLE, "a file that cannot be read", "The file is missing, is not readable, or is not UTF-8."),
    code(
        TEST_SUBJECT,
        "a test file that does not say what it tests",
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
        "a matcher that means nothing",
        "Matchers are `$any: true`, `$type: TYPE`, `$matches: REGEX`, `$contains: TEXT` and `$is: VALUE`.",
    ),
];

/// The entry of `code`, whatever its case.
pub fn explain(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|entry| entry.code.eq_ignore_ascii_case(code))
}
