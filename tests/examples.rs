//! What lies in `examples/`: users copy it, so it must work and must say the truth.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use logphase::declarative::{self, ReadOptions};
use logphase::plugin::definitions;
use logphase::settings::{Settings, variables};
use logphase_config::diagnostic::{SourceFile, any_error};
use logphase_config::document::{self, Node};
use serde_json::Value;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every folder with a configuration for Logphase or Kong.
fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(examples()).expect("the examples are part of the project");
    let mut folders: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    folders.retain(|folder| folder.join("kong.yml").is_file());
    folders.sort();
    assert!(folders.len() > definitions().len(), "{folders:?}");
    folders
}

/// Runs the program in the project's folder, without any settings of the machine's.
fn logphase(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logphase"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOGPHASE_") || name.starts_with("DECK_")) {
        command.env_remove(name);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("DECK_DATA_DIR", "/tmp").args(arguments);
    command.output().expect("the program was built for this test")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program prints UTF-8")
}

fn name(path: &Path) -> &str {
    path.to_str().expect("the project's paths are UTF-8")
}

fn load(text: String) -> Settings {
    let (settings, diagnostics) = Settings::load(Some(SourceFile::new("logphase.yml", text)), std::iter::empty());
    assert_eq!(diagnostics, []);
    settings
}

/// The annotated settings with those switched on that have no fixed default.
fn all_settings() -> String {
    let text = read(&examples().join("logphase.yml"));
    let switch = |line: &str| {
        let rest = line.trim_start();
        match rest.strip_prefix('#') {
            Some(setting) if setting.starts_with(char::is_alphabetic) => {
                format!("{}{setting}\n", &line[..line.len() - rest.len()])
            }
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(switch).collect()
}

/// Scenario: the annotated settings as they are. Guarantees: every value in them is the default.
#[test]
fn settings_are_the_defaults() {
    assert_eq!(load(read(&examples().join("logphase.yml"))), Settings::default());
}

/// Scenario: the annotated settings with everything in them switched on.
/// Guarantees: no setting is missing, and what is given as an example is allowed.
#[test]
fn settings_are_all_there() {
    let text = all_settings();
    assert_ne!(load(text.clone()), Settings::default(), "nothing was switched on");
    let (root, diagnostics) = document::parse(&SourceFile::new("logphase.yml", text), None);
    assert_eq!(diagnostics, []);
    let root = root.expect("a file without errors has a root");
    for (variable, path, _) in variables() {
        let found = path.split('.').try_fold(&root, |node: &Node, name| node.get(name));
        assert!(found.is_some(), "`{path}` ({variable}) is missing");
    }
}

/// Scenario: the example transactions against the published schema.
/// Guarantees: they are what a proxy sends, HTTP, gRPC and L4, and some carry a `_context`.
#[test]
fn transactions_fit_the_schema() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/transaction.schema.json");
    let schema: Value = serde_json::from_str(&read(&schema)).expect("the schema is JSON");
    let validator = jsonschema::draft202012::options().build(&schema).expect("the schema is sound");
    let mut all = read(&examples().join("transactions.ndjson"));
    all.push_str(&read(&examples().join("transaction.json")));
    let all = serde_json::Deserializer::from_str(&all).into_iter::<Value>();
    let all: Vec<_> = all.map(|transaction| transaction.expect("an example is JSON")).collect();
    for transaction in &all {
        let errors: Vec<_> = validator.iter_errors(transaction).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{transaction}: {errors:?}");
    }
    let count = |member: &str| all.iter().filter(|transaction| transaction.get(member).is_some()).count();
    assert_eq!((all.len(), count("request"), count("session")), (11, 10, 1));
    assert!(count("_context") >= 3);
}

/// Scenario: the plugins that there are. Guarantees: each has an example of its own, with what comes out of it.
#[test]
fn every_plugin_has_an_example() {
    for kind in definitions() {
        for file in ["kong.yml", "expected.ndjson"] {
            let path = examples().join(kind.name).join(file);
            assert!(path.is_file(), "{} is missing", path.display());
        }
        assert!(read(&examples().join(kind.name).join("kong.yml")).contains(&format!("name: {}", kind.name)));
    }
}

/// Scenario: `check` on every example, and reading it. Guarantees: no errors, and some plugin that runs here.
#[test]
fn examples_pass_the_check() {
    let options = ReadOptions { select_tags: &[], env: &|name| (name == "DECK_DATA_DIR").then(|| "/tmp".to_owned()) };
    for folder in folders() {
        let file = SourceFile::new("kong.yml", read(&folder.join("kong.yml")));
        let (configuration, diagnostics) = declarative::read(&[file], options);
        assert!(!any_error(&diagnostics), "{}: {diagnostics:?}", folder.display());
        assert!(!configuration.plugins.is_empty(), "{}", folder.display());
        let output = logphase(&["check", name(&folder.join("kong.yml"))]);
        assert!(output.status.success(), "{}: {}", folder.display(), text(&output.stderr));
    }
}

/// Scenario: `try` on every example with the transaction that its first lines name, or all of them for the quickstart.
/// Guarantees: exactly the messages beside it come out, and no snippet fails. `BLESS=1` writes them anew.
#[test]
fn examples_give_what_they_say() {
    let bless = std::env::var_os("BLESS").is_some();
    let (mut examined, mut different) = (0, Vec::new());
    for folder in folders() {
        let expected = folder.join("expected.ndjson");
        if !expected.is_file() {
            continue;
        }
        let transactions = if folder.ends_with("quickstart") { "transactions.ndjson" } else { "transaction.json" };
        let transactions = examples().join(transactions);
        let output = logphase(&["try", "--json", name(&folder.join("kong.yml")), "--transaction", name(&transactions)]);
        assert!(output.status.success(), "{}: {}", folder.display(), text(&output.stderr));
        if bless {
            std::fs::write(&expected, &output.stdout).expect("the examples can be written");
        }
        let lines = |text: &str| -> Vec<Value> {
            text.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
        };
        let found = lines(text(&output.stdout));
        assert!(found.iter().all(|line| line["errors"] == serde_json::json!([])), "{}: {found:?}", folder.display());
        if found != lines(&read(&expected)) {
            different.push(format!("{}:\n{}", folder.display(), text(&output.stdout)));
        }
        examined += 1;
    }
    assert!(different.is_empty(), "not what is expected:\n{}", different.join("\n"));
    assert_eq!(examined, definitions().len() + 1);
}
