//! What the command line may say.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::queue::Queue;
use super::tap::Tap;
use super::top::Top;
use crate::service::ConfigFiles;
use logphase_config::diagnostic::Format;
use logphase_script::Profile;

const EXIT_CODES: &str = "\
Exit codes:
  0   all went well
  1   a transaction was rejected, a snippet failed, or something was left undelivered
  2   wrong arguments
  74  a file or an address could not be had
  78  the configuration is wrong";

/// Kong's log phase as a service of its own.
///
/// Takes finished transactions from any proxy, runs the logging plugins of a kong.yml on them, and delivers the
/// messages that Kong would have written.
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
    Try(Try),
    Test(Test),
    Sandbox(Sandbox),
    Queue(Queue),
    Tap(Tap),
    Top(Top),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Examples:\n  logphase completions bash > /etc/bash_completion.d/logphase\n  logphase completions zsh > ~/.zfunc/_logphase"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What every command that reads a configuration takes.
#[derive(Debug, Clone, Args)]
pub(super) struct Files {
    /// Kong's declarative files (kong.yml), YAML or JSON; several are one configuration.
    pub(super) config: Vec<PathBuf>,
    /// Logphase's own settings; without it, logphase.yml in the current directory if there is one.
    #[arg(long, value_name = "FILE", env = "LOGPHASE_SETTINGS")]
    pub(super) settings: Option<PathBuf>,
}

impl From<Files> for ConfigFiles {
    fn from(files: Files) -> Self {
        Self { declarative: files.config, settings: files.settings }
    }
}

/// Run the service, or with --stdin one pass over JSON lines.
///
/// Without CONFIG (and none in the settings) it runs the embedded quickstart: HTTP on 127.0.0.1:9080, messages into
/// messages.log in the data directory.
///
/// SIGTERM and SIGINT stop accepting, run and deliver what was taken within the setting shutdown_timeout, and say
/// what was left. SIGHUP reads the configuration again and opens files anew; a wrong configuration is refused and
/// the old one stays. SIGUSR1 only opens files anew.
#[derive(Debug, Args)]
#[command(after_help = const_str(&RUN_HELP))]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) files: Files,
    /// Read transactions as JSON lines from standard input, deliver everything, and end. No address is listened on.
    #[arg(long)]
    pub(super) stdin: bool,
}

/// Read a configuration and compile every snippet of it, and show everything that is wrong.
#[derive(Debug, Args)]
#[command(after_help = const_str(&CHECK_HELP))]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) files: Files,
    /// How findings are shown.
    #[arg(long, value_enum, default_value_t = FindingFormat::Pretty)]
    pub(super) format: FindingFormat,
}

/// A dry run: print what each plugin would send for transactions.
///
/// Per plugin in execution order. Nothing is sent. Plugins that cannot deliver yet are shown as well.
#[derive(Debug, Args)]
#[command(after_help = const_str(&TRY_HELP))]
pub(super) struct Try {
    #[command(flatten)]
    pub(super) files: Files,
    /// A field on the spot: added to every logging plugin of CONFIG or, without CONFIG, to a plugin made for it.
    #[arg(long, value_name = "KEY=LUA", value_parser = field)]
    pub(super) field: Vec<(String, String)>,
    /// Transactions: one object, an array, or JSON lines. Without it, standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) transaction: Option<PathBuf>,
    /// One line of JSON per plugin: plugin, instance_name, errors, message.
    #[arg(long)]
    pub(super) json: bool,
}

/// Run tests of a configuration: transactions, and what its plugins must make of them.
///
/// A test file is YAML: `config` (or `plugins`, or `fields`), `transaction` (or `transaction_file`) and `tests`, each
/// with `name`, `with` (what is different in its transaction) and `expect`. README.md describes it. Paths in it are
/// relative to it. Nothing is sent.
#[derive(Debug, Args)]
#[command(after_help = const_str(&TEST_HELP))]
pub(super) struct Test {
    /// Test files.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Run only tests with this in their name.
    #[arg(long, value_name = "SUBSTRING")]
    pub(super) filter: Option<String>,
    /// Write what comes out into the `expect` of the tests that fail, and leave the rest of the file as it is.
    #[arg(long)]
    pub(super) bless: bool,
    /// One line of JSON per test: file, line, name, result, failures.
    #[arg(long)]
    pub(super) json: bool,
}

/// Attack the sandbox with scripts, and show whether it held.
///
/// Each script runs as a custom field in a worker of a process of its own, with a deadline of 20 ms and 16 MiB of
/// memory. Contained is what keeps to all limits, does what its header expects, and leaves everything as it was: an
/// honest transaction comes out right afterwards. docs/sandbox.md says how to write a script.
#[derive(Debug, Args)]
#[command(after_help = const_str(&SANDBOX_HELP))]
pub(super) struct Sandbox {
    /// Scripts, or directories with *.lua files; without any, those that are built in.
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Logphase's own settings; without it, logphase.yml in the current directory if there is one.
    #[arg(long, value_name = "FILE", env = "LOGPHASE_SETTINGS")]
    pub(super) settings: Option<PathBuf>,
    /// What scripts may call; without it what each script names, else strict, which has the most to attack.
    #[arg(long, value_enum)]
    pub(super) profile: Option<AttackProfile>,
    /// One line of JSON per script.
    #[arg(long)]
    pub(super) json: bool,
    /// Run the one script that standard input holds; for this program's own use.
    #[arg(long, hide = true)]
    pub(super) worker: bool,
}

/// What scripts may call.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum AttackProfile {
    /// What is there by default.
    Sandbox,
    /// Also os.date, string.rep, io.type and every module.
    Strict,
}

impl AttackProfile {
    /// The setting's word for it.
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
",
    EXIT_CODES,
];

const TRY_HELP: [&str; 2] = [
    "Examples:
  logphase try kong.yml --transaction examples/transaction.json
  logphase try --field 'agent=return kong.request.get_header(\"user-agent\")' < examples/transaction.json
  tail -n 1 access.ndjson | logphase try --json kong.yml
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
  0   all tests passed, or were blessed
  1   a test failed
  2   wrong arguments
  74  a file could not be read or written
  78  a test file or its configuration is wrong",
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
  2   wrong arguments
  74  a script could not be read
  78  the settings are wrong",
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

/// How findings are shown.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum FindingFormat {
    /// With the lines of the file and carets.
    Pretty,
    /// One line per finding: file:line:column: error[code]: message.
    Short,
}

impl From<FindingFormat> for Format {
    fn from(format: FindingFormat) -> Self {
        match format {
            FindingFormat::Pretty => Self::Pretty,
            FindingFormat::Short => Self::Short,
        }
    }
}
