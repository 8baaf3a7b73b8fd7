//! The command line's arguments and their `--help`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::explain::Explain;
use super::format::Format;
use super::health::Health;
use super::man::Man;
use super::playground::Playground;
use super::queue::Queue;
use super::schema::Schema;
use super::show::Show;
use super::tap::Tap;
use super::top::Top;
use crate::decode::mapping::KONG;
use crate::forwarder::KongVersion;
use crate::input::INPUTS;
use crate::service::ConfigFiles;
use logphase_config::diagnostic::Format as DiagnosticFormat;
use logphase_net::url::HttpUrl;
use logphase_script::Profile;
use logphase_script::needs::Need;

const EXIT_CODES: &str = "\
Exit codes:
  0   success
  1   a transaction was rejected, a snippet failed, or messages were left undelivered
  2   the command line is invalid
  74  a file or an address is not available
  78  the configuration or the settings are invalid";

/// Run Kong's log phase as a separate service.
///
/// Logphase receives finished transactions from a proxy, runs the logging plugins of a kong.yml on them, and delivers
/// the messages that Kong would have written.
#[derive(Debug, Parser)]
#[command(name = "logphase", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Run(Run),
    Check(Check),
    Config(Config),
    Show(Show),
    Try(Try),
    Forwarder(Forwarder),
    Format(Format),
    Explain(Explain),
    Test(Test),
    Sandbox(Sandbox),
    Queue(Queue),
    Tap(Tap),
    Top(Top),
    Health(Health),
    Schema(Schema),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Examples:\n  logphase completions bash > /etc/bash_completion.d/logphase\n  logphase completions zsh > ~/.zfunc/_logphase"
    )]
    Completions {
        /// Shell to print the script for.
        shell: clap_complete::Shell,
    },
    Man(Man),
    Playground(Playground),
}

/// Arguments of every command that reads a configuration.
#[derive(Debug, Clone, Args)]
pub(super) struct Files {
    /// Kong's declarative files (kong.yml), YAML or JSON; several files form one configuration.
    pub(super) config: Vec<PathBuf>,
    /// Settings file; default: logphase.yml in the current directory, if present.
    #[arg(long, value_name = "FILE", env = "LOGPHASE_SETTINGS")]
    pub(super) settings: Option<PathBuf>,
}

impl From<Files> for ConfigFiles {
    fn from(files: Files) -> Self {
        Self { declarative: files.config, settings: files.settings, ..Self::default() }
    }
}

/// Move entities between declarative files and the database that the Admin API changes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  logphase config import kong.yml\n  logphase config export > kong.yml\n\nThe database is the one of the settings: \
                  entities.db in data_dir, or the one at database_url, with the key database_key."
)]
pub(super) struct Config {
    #[command(subcommand)]
    pub(super) action: ConfigAction,
}

/// What to do with the database.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigAction {
    /// Print the entities of the database as a declarative file; a service may be running.
    #[command(after_help = "Examples:\n  logphase config export > kong.yml")]
    Export {
        /// Settings file; default: logphase.yml in the current directory, if present.
        #[arg(long, value_name = "FILE", env = "LOGPHASE_SETTINGS")]
        settings: Option<PathBuf>,
    },
    /// Bring the entities of declarative files into the database. On `database: sqlite` no service may be running; on `postgres`, those that
    /// run take them over.
    #[command(
        after_help = "Examples:\n  logphase config import kong.yml\n  logphase config import --replace services.yml plugins.yml"
    )]
    Import {
        #[command(flatten)]
        files: Files,
        /// Replace the entities that are in the database.
        #[arg(long)]
        replace: bool,
    },
}

/// Run the service, or with --stdin process JSON lines from standard input.
///
/// Without CONFIG, on the command line or in the settings, Logphase runs its quickstart configuration: it listens for
/// HTTP on 127.0.0.1:9080 and writes messages to messages.log in the data directory.
///
/// On SIGTERM and SIGINT, Logphase stops accepting, delivers accepted transactions within the setting
/// shutdown_timeout, and reports undelivered messages. On SIGHUP it reloads the configuration and reopens log files; it
/// rejects an invalid configuration and keeps the old one. On SIGUSR1 it only reopens log files.
#[derive(Debug, Args)]
#[command(after_help = const_str(&RUN_HELP))]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) files: Files,
    /// Read transactions as JSON lines from standard input, deliver every message, and exit. Opens no listeners.
    #[arg(long)]
    pub(super) stdin: bool,
    /// Mapping of the lines of standard input to transactions: kong, nginx, haproxy, caddy, traefik, apache, or one of the
    /// settings.
    #[arg(long, value_name = "NAME", default_value = KONG, hide_default_value = true, requires = "stdin")]
    pub(super) mapping: String,
    /// Find the route and service of transactions from standard input without them, as Kong's router would; by default if
    /// the mapping is not kong.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, requires = "stdin")]
    pub(super) match_routes: Option<bool>,
}

/// Check a configuration: read it, compile every snippet, and report every mistake.
#[derive(Debug, Args)]
#[command(after_help = const_str(&CHECK_HELP))]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) files: Files,
    /// Warn if a snippet reads what this input's transactions never have: `kong` for Kong's own log object, or an input
    /// (http, tcp, ...). What the running service has seen in the last 1000 transactions counts, if it runs.
    #[arg(long, value_name = "INPUT", value_parser = input_name)]
    pub(super) input: Option<String>,
    /// Print the smallest settings under which every snippet may use the names that it uses.
    #[arg(long)]
    pub(super) suggest: bool,
    /// Refuse plugins that are not Kong's, unless the setting custom_plugins names them.
    #[arg(long)]
    pub(super) strict: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t = FindingFormat::Pretty)]
    pub(super) format: FindingFormat,
}

/// Print the message that each plugin would send for a transaction.
///
/// Prints one message per plugin, in execution order, and sends nothing.
#[derive(Debug, Args)]
#[command(after_help = const_str(&TRY_HELP))]
pub(super) struct Try {
    #[command(flatten)]
    pub(super) files: Files,
    /// Add a field to every logging plugin of CONFIG, or without CONFIG to a temporary plugin; repeatable.
    #[arg(long, value_name = "KEY=LUA", value_parser = field)]
    pub(super) field: Vec<(String, String)>,
    /// File with transactions: one object, an array, or JSON lines; default: standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) transaction: Option<PathBuf>,
    /// Mapping of what is read to transactions: kong, nginx, haproxy, caddy, traefik, apache, or one of the settings. Prints
    /// the transactions, too.
    #[arg(long, value_name = "NAME", default_value = KONG, hide_default_value = true)]
    pub(super) mapping: String,
    /// Print the definition of the mapping, to copy it into the settings, and exit.
    #[arg(long, requires = "mapping")]
    pub(super) print: bool,
    /// Say for every plugin whether it runs for the transaction, and why not: scope, protocols, tags, condition, or a
    /// more specific plugin.
    #[arg(long)]
    pub(super) why: bool,
    /// Print one line of JSON per plugin: plugin, instance_name, errors, message; with --why also one for each plugin that does
    /// not run: plugin, instance_name, reason.
    #[arg(long)]
    pub(super) json: bool,
}

/// Print the configuration of Kong that sends what the plugins of Logphase read.
///
/// Kong's http-log sends the log object alone. This command finds what else the plugins and their snippets read (bodies,
/// kong.ctx.shared, nginx variables, credentials, ...) and prints plugins of Kong that send exactly that, in `_context`,
/// which Logphase never logs. Standard error lists what cannot be sent, and what is known only when a snippet runs.
#[derive(Debug, Args)]
#[command(after_help = const_str(&FORWARDER_HELP))]
pub(super) struct Forwarder {
    #[command(flatten)]
    pub(super) files: Files,
    /// URL of Logphase's HTTP input; default: from the setting inputs.http.listen.
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    pub(super) endpoint: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = ForwarderFormat::Yaml)]
    pub(super) format: ForwarderFormat,
    /// Release of Kong, from 3.4 on; default: what works in all of them.
    #[arg(long, value_name = "VERSION")]
    pub(super) kong_version: Option<KongVersion>,
    /// Send this member, too, such as _context.vars.NAME; repeatable.
    #[arg(long, value_name = "MEMBER", value_parser = member)]
    pub(super) with: Vec<Need>,
    /// Largest body to send, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 65536)]
    pub(super) max_body_bytes: usize,
}

/// How `forwarder` prints Kong's configuration.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ForwarderFormat {
    /// With comments.
    Yaml,
    /// Without comments.
    Json,
}

/// Run tests of a configuration: transactions, and the messages that its plugins must produce.
///
/// A test file is YAML or JSON with `config` (or `plugins`, or `fields`), `transaction` (or `transaction_file`) and
/// `tests`. Each test has `name`, `with` (changes to the transaction) and `expect`. README.md describes the format.
/// Paths in a test file are relative to it. Sends nothing.
#[derive(Debug, Args)]
#[command(after_help = const_str(&TEST_HELP))]
pub(super) struct Test {
    /// Test files.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Run only tests with this text in their name.
    #[arg(long, value_name = "SUBSTRING")]
    pub(super) filter: Option<String>,
    /// Write the actual results into the `expect` of failing tests; leave the rest of the file unchanged.
    #[arg(long)]
    pub(super) bless: bool,
    /// Print one line of JSON per test: file, line, name, result, failures.
    #[arg(long)]
    pub(super) json: bool,
}

/// Attack the sandbox with scripts, and show whether it holds.
///
/// Each script runs as a custom field in a worker in its own process, with a deadline of 20 ms and 16 MiB of memory.
/// The sandbox contains a script if the script stays within all limits, does what its header expects, and leaves
/// everything unchanged: an honest transaction gives its expected message afterwards. docs/sandbox.md explains how to
/// write a script.
#[derive(Debug, Args)]
#[command(after_help = const_str(&SANDBOX_HELP))]
pub(super) struct Sandbox {
    /// Scripts, or directories with *.lua files; default: the built-in scripts.
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Settings file; default: logphase.yml in the current directory, if present.
    #[arg(long, value_name = "FILE", env = "LOGPHASE_SETTINGS")]
    pub(super) settings: Option<PathBuf>,
    /// Functions that scripts can call; default: the profile that the script names, or strict.
    #[arg(long, value_enum)]
    pub(super) profile: Option<AttackProfile>,
    /// Print one line of JSON per script.
    #[arg(long)]
    pub(super) json: bool,
    /// Run the script on standard input; for internal use.
    #[arg(long, hide = true)]
    pub(super) worker: bool,
}

/// Functions that scripts can call.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum AttackProfile {
    /// The default profile.
    Sandbox,
    /// Adds os.date, string.rep, io.type and every module.
    Strict,
}

impl AttackProfile {
    /// The profile's name in the settings.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Strict => "strict",
        }
    }
}

impl From<AttackProfile> for Profile {
    fn from(profile: AttackProfile) -> Self {
        match profile {
            AttackProfile::Sandbox => Self::Sandbox,
            AttackProfile::Strict => Self::Strict,
        }
    }
}

const RUN_HELP: [&str; 2] = [
    "Examples:
  logphase run
  logphase run kong.yml
  LOGPHASE_HTTP_LISTEN=0.0.0.0:9080 logphase run kong.yml
  logphase run kong.yml --stdin < transactions.ndjson
",
    EXIT_CODES,
];

const CHECK_HELP: [&str; 2] = [
    "Examples:
  logphase check kong.yml
  logphase check --settings logphase.yml kong.yml more.yml
  logphase check --format short kong.yml
  logphase check --input kong kong.yml
  logphase check --suggest kong.yml
",
    "\
Exit codes:
  0   the configuration is valid
  2   the command line is invalid
  74  a file cannot be read
  78  the configuration or the settings are invalid",
];

const TRY_HELP: [&str; 2] = [
    "Examples:
  logphase try kong.yml --transaction examples/transaction.json
  logphase try --field 'host=return kong.request.get_host()' < examples/transaction.json
  logphase try --why kong.yml --transaction examples/transactions.ndjson
  tail -n 1 access.ndjson | logphase try --json kong.yml
",
    EXIT_CODES,
];

const FORWARDER_HELP: [&str; 2] = [
    "Examples:
  logphase forwarder kong.yml > forwarder.yml
  logphase forwarder kong.yml --endpoint https://logphase.example.com:9080/ --kong-version 3.10
  logphase forwarder kong.yml --with _context.vars.server_name --format json
",
    EXIT_CODES,
];

const TEST_HELP: [&str; 2] = [
    "Examples:
  logphase test examples/file-log/tests.yml
  logphase test --filter customer examples/*/tests.yml
  logphase test --bless tests.yml && git diff tests.yml

A test file:
  fields:
    agent: return kong.request.get_header(\"user-agent\")
  tests:
  - name: the agent is logged
    transaction: {request: {headers: {user-agent: curl/8.5.0}}}
    expect:
      fields: {agent: curl/8.5.0}
",
    "\
Exit codes:
  0   every test passed or was blessed
  1   a test failed
  2   the command line is invalid
  74  a file cannot be read or written
  78  a test file or its configuration is invalid",
];

const SANDBOX_HELP: [&str; 2] = [
    "Examples:
  logphase sandbox
  logphase sandbox --profile sandbox
  logphase sandbox my-attacks/ one-more.lua
  logphase sandbox --json | jq 'select(.contained | not)'
",
    "Exit codes:
  0   every attack was contained
  1   at least one escaped
  2   the command line is invalid
  74  a script cannot be read, or its header is invalid
  78  the settings are invalid",
];

fn const_str(parts: &[&str; 2]) -> String {
    parts.join("\n")
}

fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, lua)) if !key.is_empty() => Ok((key.to_owned(), lua.to_owned())),
        _ => Err("expected KEY=LUA, like 'agent=return kong.request.get_header(\"user-agent\")'".to_owned()),
    }
}

fn input_name(text: &str) -> Result<String, String> {
    let names = || INPUTS.iter().map(|input| input.name);
    match text == KONG || names().any(|name| name == text) {
        true => Ok(text.to_owned()),
        false => Err(format!("expected {KONG} or the name of an input: {}", names().collect::<Vec<_>>().join(", "))),
    }
}

fn endpoint(text: &str) -> Result<String, String> {
    HttpUrl::parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{error}; expected a URL, like http://127.0.0.1:9080/"))
}

fn member(text: &str) -> Result<Need, String> {
    Need::of_member(text).ok_or_else(|| {
        "expected a member that Kong can send, like _context.vars.NAME, _context.shared.NAME, _context.request_body or \
         request.headers.authorization"
            .to_owned()
    })
}

/// How `check` prints its findings.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum FindingFormat {
    /// Several lines per finding, with the source lines and markers.
    Pretty,
    /// One line per finding: file:line:column: error[code]: message.
    Short,
}

impl From<FindingFormat> for DiagnosticFormat {
    fn from(format: FindingFormat) -> Self {
        match format {
            FindingFormat::Pretty => Self::Pretty,
            FindingFormat::Short => Self::Short,
        }
    }
}
