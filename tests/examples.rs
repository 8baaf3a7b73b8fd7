//! The files in `examples/`: users copy them, so they must work and be accurate.

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

/// Runs the program in the project's folder, without settings from the environment.
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

/// The annotated settings, with those without a fixed default enabled.
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

/// Scenario: the annotated settings, unchanged.
/// Guarantees: every value in them is the default.
#[test]
fn settings_are_the_defaults() {
    assert_eq!(load(read(&examples().join("logphase.yml"))), Settings::default());
}

/// Scenario: the annotated settings with everything enabled.
/// Guarantees: no setting is missing, and every example value is valid.
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

/// Scenario: the example transactions and the published schema.
/// Guarantees: they are valid and cover HTTP, gRPC and L4, some with a `_context`.
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

/// Scenario: the list of plugins.
/// Guarantees: each has an example with its expected output.
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

/// Scenario: `check` on every example.
/// Guarantees: no errors, and at least one plugin that Logphase runs.
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

/// Scenario: `try` on every example with the transaction that its first lines name, or all transactions for the
/// quickstart.
/// Guarantees: exactly the expected messages, and no failing snippet. `BLESS=1` writes the expected messages.
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
