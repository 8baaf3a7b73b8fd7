//! Reads test files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::expectation::{self, Expect, NOT_EMPTY};
use super::pattern::merge;
use crate::declarative;
use crate::dry_run;
use crate::entity::{Configuration, Field as LuaField};
use crate::phase::Program;
use crate::service::read_configuration;
use crate::settings::{Settings, environment};
use logphase_config::diagnostic::{Diagnostic, FieldPath, Place, SourceFile, any_error, codes};
use logphase_config::document::{self, Node};
use logphase_config::schema::{Check, Field, Record, Scope};
use logphase_io::file::Accept;
use logphase_script::message::KeyPath;
use logphase_script::transaction::{Limits, Transaction};

static TEXT: Field = Field::string("");
static ANY: Field = Field::any("");
const FROM_ONE: &[Check] = &[Check::Between(1.0, 1e9)];
const TRANSACTION: Field = Field::any("transaction").about("The transaction, as an object.");
const TRANSACTION_FILE: Field =
    Field::string("transaction_file").about("A file with the transaction: JSON, or JSON lines.");
const TRANSACTION_NUMBER: Field =
    Field::integer("transaction_number").checks(FROM_ONE).about("The number of the transaction in the file.");
const WITH: Field = Field::map("with", &TEXT, &ANY).about("Changes to the transaction: key paths and values.");

/// The members of a test file.
pub(super) static FILE: Record = Record::new(&[
    Field::any("config").about("Kong's declarative file, or a list of them."),
    Field::any("plugins").about("Instead of `config`: the plugins of a declarative file."),
    Field::map("fields", &TEXT, &TEXT).about("Instead of `config`: keys and Lua for a temporary plugin."),
    Field::string("settings").about("The settings file."),
    Field::map("env", &TEXT, &TEXT).about("Environment variables for `${{ env \"DECK_X\" }}`."),
    TRANSACTION,
    TRANSACTION_FILE,
    TRANSACTION_NUMBER,
    WITH,
    Field::array("tests", &ANY).required().checks(NOT_EMPTY).about("The tests."),
]);

/// One test.
pub(super) static TEST: Record = Record::new(&[
    Field::string("name").required().about("The name of the test."),
    TRANSACTION,
    TRANSACTION_FILE,
    TRANSACTION_NUMBER,
    WITH,
    Field::any("expect").about("The expected result of each plugin."),
    Field::boolean("only").about("Plugins that `expect` does not name must emit nothing."),
]);

/// A valid test file.
pub(super) struct Suite {
    /// The text of the file.
    pub(super) source: Arc<SourceFile>,
    /// The program of the plugins under test.
    pub(super) program: Arc<Program>,
    /// The tests, in the order of the file.
    pub(super) tests: Vec<Test>,
}

/// One test.
pub(super) struct Test {
    /// The name of the test.
    pub(super) name: String,
    /// The place of the name in the file.
    pub(super) place: Place,
    /// The transaction to run.
    pub(super) transaction: Transaction,
    /// The expectations; `None` if the file has none.
    pub(super) expect: Option<Expect>,
    /// Whether plugins that `expect` does not name must emit nothing.
    pub(super) only: bool,
    /// The node of the test in the file.
    pub(super) node: Node,
}

/// Reads the test file `source` at `path`, and the files that it refers to. If the suite is `None`, the diagnostics have an
/// error.
pub(super) fn read(path: &Path, source: &Arc<SourceFile>) -> (Option<Suite>, Vec<Diagnostic>) {
    let (root, mut diagnostics) = document::parse(source, None);
    let Some(root) = root else { return (None, diagnostics) };
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let scope = Scope {
        subject: "the test file".to_owned(),
        path: String::new(),
        kong: Some(FieldPath::default()),
        origin: Place::new(source.clone(), 0..source.text.lines().next().map_or(0, str::len)).into(),
    };
    let values = FILE.read(&root, &scope, &mut diagnostics);
    let mut reader = Reader { folder, settings: Settings::default(), diagnostics };
    reader.settings(&root);
    let configuration = reader.configuration(&root, &values, &scope);
    let is_valid = !any_error(&reader.diagnostics);
    let limits = reader.settings.limits.transaction();
    let shared = Shared { root: &root, scope: &scope };
    let tests = reader.tests(&root, &shared, &limits, is_valid.then_some(&configuration));
    // An error in the shared transaction is found once per test.
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    reader.diagnostics.into_iter().for_each(|one| {
        if !diagnostics.contains(&one) {
            diagnostics.push(one)
        }
    });
    for diagnostic in diagnostics.iter_mut().filter(|d| d.place().is_none_or(|p| Arc::ptr_eq(&p.file, source))) {
        // Only the plugins in a test file correspond to Kong entities.
        let about_plugins = diagnostic.path.as_deref().is_some_and(|path| path.starts_with("plugins"));
        diagnostic.kong.take_if(|_| !about_plugins);
    }
    if any_error(&diagnostics) {
        return (None, diagnostics);
    }
    match Program::build(&configuration, &reader.settings) {
        Ok(program) => (Some(Suite { source: source.clone(), program: Arc::new(program), tests }), diagnostics),
        Err(errors) => {
            diagnostics.extend(errors);
            (None, diagnostics)
        }
    }
}

/// The top level of the file, with the defaults of its tests.
struct Shared<'a> {
    root: &'a Node,
    scope: &'a Scope,
}

struct Reader {
    folder: PathBuf,
    settings: Settings,
    diagnostics: Vec<Diagnostic>,
}

/// The transaction of a test: `None` if the file has none for it, `Some(None)` if it is invalid and the error is recorded.
type TransactionBytes = Option<Option<Bytes>>;

impl Reader {
    /// Reads the file that `node` names.
    fn open(&mut self, node: &Node) -> Option<Arc<SourceFile>> {
        let path = self.folder.join(node.as_str()?);
        match SourceFile::read(&path, Accept::Streams) {
            Ok(file) => Some(file),
            Err(diagnostic) => {
                let help = "paths are relative to the directory of the test file";
                self.diagnostics.push(diagnostic.at(node.origin()).label("named here").help(help));
                None
            }
        }
    }

    fn settings(&mut self, root: &Node) {
        let named = root.get("settings").filter(|node| node.as_str().is_some());
        let file = named.and_then(|node| self.open(node));
        let (settings, diagnostics) = Settings::load(file, environment());
        self.settings = settings;
        self.diagnostics.extend(diagnostics);
        dry_run::extend_deadlines(&mut self.settings);
    }

    /// Reads the plugins under test.
    fn configuration(&mut self, root: &Node, values: &Map<String, Value>, scope: &Scope) -> Configuration {
        let subjects: Vec<_> =
            ["config", "plugins", "fields"].into_iter().filter_map(|name| root.entry(name)).collect();
        let [(key, node)] = subjects[..] else {
            let (message, place) = match subjects.get(1) {
                Some((key, _)) => {
                    (format!("both `{}` and `{}` in the test file", subjects[0].0.name, key.name), key.origin())
                }
                None => ("the test file names no configuration to test".to_owned(), scope.origin.clone()),
            };
            let diagnostic = Diagnostic::error(codes::TEST_SUBJECT, message).at(place);
            let help = "write one of `config: kong.yml`, `plugins: [...]` and `fields: {KEY: LUA}`";
            self.diagnostics.push(diagnostic.help(help));
            return Configuration::default();
        };
        let (configuration, diagnostics) = match key.name.as_str() {
            "config" => {
                let paths = self.paths(node, scope);
                if paths.is_empty() {
                    return Configuration::default();
                }
                let overridden = |name: &str| Some(values.get("env")?.get(name)?.as_str()?.to_owned());
                let environment = |name: &str| overridden(name).or_else(|| std::env::var(name).ok());
                read_configuration(&paths, Accept::Streams, &self.settings, &environment)
            }
            "plugins" => {
                let mut tree = Node::empty_mapping_at(node);
                tree.set(&["_format_version"], Node::literal(&SourceFile::new("", "3.0")));
                tree.set(&["plugins"], node.clone());
                declarative::read_tree(&tree, &self.settings.select_tags)
            }
            _ => {
                let mut configuration = Configuration::default();
                let fields: Vec<_> = node.entries().into_iter().flatten().filter_map(lua_field).collect();
                dry_run::add_fields(&mut configuration, &fields, key.origin());
                (configuration, Vec::new())
            }
        };
        self.diagnostics.extend(diagnostics);
        configuration
    }

    /// The files of `config`. Records an error, at the name, for each that cannot be read.
    fn paths(&mut self, node: &Node, scope: &Scope) -> Vec<PathBuf> {
        let names = node.items().unwrap_or(std::slice::from_ref(node));
        if names.is_empty() || names.iter().any(|name| name.as_str().is_none_or(str::is_empty)) {
            let here = scope.member("config", node.origin());
            let message = "`config` of the test file is not a path".to_owned();
            self.diagnostics.push(here.error(codes::TYPE, message, "expected a path or a list of paths"));
            return Vec::new();
        }
        let before = self.diagnostics.len();
        let paths = names.iter().filter_map(|name| {
            self.open(name)?;
            Some(self.folder.join(name.as_str()?))
        });
        let paths = paths.collect();
        if self.diagnostics.len() == before { paths } else { Vec::new() }
    }

    fn tests(&mut self, root: &Node, shared: &Shared<'_>, limits: &Limits, known: Option<&Configuration>) -> Vec<Test> {
        let mut tests: Vec<Test> = Vec::new();
        for (index, node) in root.get("tests").and_then(Node::items).into_iter().flatten().enumerate() {
            let name = node.get("name").and_then(Node::as_str);
            let scope = Scope {
                subject: name.map_or("a test".to_owned(), |name| format!("test `{name}`")),
                path: format!("tests[{index}]"),
                kong: Some(FieldPath::default()),
                origin: node.get("name").unwrap_or(node).origin(),
            };
            let values = TEST.read(node, &scope, &mut self.diagnostics);
            if let (Some(name), Some(first)) = (name, tests.iter().find(|test| Some(test.name.as_str()) == name)) {
                let diagnostic = Diagnostic::error(codes::UNIQUE, format!("two tests are called `{name}`"));
                let diagnostic = diagnostic.at(scope.origin.clone()).label("second here");
                self.diagnostics.push(diagnostic.related(first.place.clone(), "first here"));
            }
            let expect = node.entry("expect").map(|(key, value)| {
                expectation::read(value, &scope.member("expect", key.origin()), known, &mut self.diagnostics)
            });
            let Some(bytes) = self.transaction(node, None, Some(shared), limits, &scope) else {
                let message = format!("{} has no transaction", scope.subject);
                let diagnostic = Diagnostic::error(codes::TEST_TRANSACTION, message).at(scope.origin.clone());
                let help = "write `transaction` or `transaction_file`, here or at the top of the file for all tests";
                self.diagnostics.push(diagnostic.help(help));
                continue;
            };
            let transaction = bytes.and_then(|bytes| self.parse(bytes, limits, &scope));
            let place = scope.origin.place().cloned();
            let (Some(name), Some(place), Some(transaction)) = (name, place, transaction) else { continue };
            let only = values.get("only") == Some(&Value::Bool(true));
            let name = name.to_owned();
            tests.push(Test { name, place, transaction, expect, only, node: node.clone() });
        }
        tests
    }

    fn parse(&mut self, bytes: Bytes, limits: &Limits, scope: &Scope) -> Option<Transaction> {
        let parsed = Transaction::parse(bytes, limits);
        parsed
            .map_err(|rejection| {
                let message = format!("the transaction of {} would be rejected: {rejection}", scope.subject);
                self.diagnostics.push(Diagnostic::error(codes::TEST_TRANSACTION, message).at(scope.origin.clone()));
            })
            .ok()
    }

    /// The transaction of `node`, a test or the top level: its own one or else the shared one, with the changes of `with`.
    /// `number` is the `transaction_number` of a test that uses the shared file.
    fn transaction(
        &mut self,
        node: &Node,
        number: Option<&Node>,
        shared: Option<&Shared<'_>>,
        limits: &Limits,
        scope: &Scope,
    ) -> TransactionBytes {
        let number = number.or_else(|| node.get("transaction_number"));
        let Some(base) = self.base(node, number, shared, limits, scope)? else { return Some(None) };
        let changes = node.get("with").and_then(Node::entries).unwrap_or_default();
        if changes.is_empty() {
            return Some(Some(base));
        }
        let mut value: Value = match serde_json::from_slice(&base) {
            Ok(value) => value,
            // The caller rejects invalid JSON.
            Err(_) => return Some(Some(base)),
        };
        for (key, patch) in changes {
            if let Err(problem) = merge(&mut value, KeyPath::parse(&key.name, false).parts(), &patch.to_json()) {
                let message = format!("cannot set `{}` in {}: {problem}", key.name, scope.subject);
                self.diagnostics.push(Diagnostic::error(codes::TEST_TRANSACTION, message).at(key.origin()));
            }
        }
        Some(Some(Bytes::from(value.to_string())))
    }

    /// The same without the changes of `with`.
    fn base(
        &mut self,
        node: &Node,
        number: Option<&Node>,
        shared: Option<&Shared<'_>>,
        limits: &Limits,
        scope: &Scope,
    ) -> TransactionBytes {
        Some(match (node.entry("transaction"), node.entry("transaction_file")) {
            (Some(_), Some((key, _))) => {
                let message = format!("both `transaction` and `transaction_file` in {}", scope.subject);
                self.diagnostics
                    .push(Diagnostic::error(codes::TEST_TRANSACTION, message).at(key.origin()).label("keep one"));
                None
            }
            (Some((_, value)), None) if value.entries().is_some() => {
                if let Some(number) = number {
                    let message = "`transaction_number` without `transaction_file`";
                    let diagnostic = Diagnostic::error(codes::TEST_TRANSACTION, message).at(number.origin());
                    self.diagnostics.push(diagnostic.help("remove it, or write `transaction_file`"));
                }
                Some(Bytes::from(value.to_json().to_string()))
            }
            (Some((key, value)), None) => {
                let message = format!("`transaction` of {} is {}", scope.subject, value.type_name());
                let here = scope.member("transaction", key.origin());
                self.diagnostics.push(here.error(codes::TYPE, message, "expected a mapping"));
                None
            }
            (None, Some((_, value))) => self.file_transaction(value, number, limits),
            (None, None) => {
                let shared = shared?;
                self.transaction(shared.root, number, None, limits, shared.scope)?
            }
        })
    }

    /// The selected transaction of a file.
    fn file_transaction(&mut self, path: &Node, number: Option<&Node>, limits: &Limits) -> Option<Bytes> {
        let file = self.open(path)?;
        let body = Bytes::from(file.text.clone());
        let error = |message: String| Diagnostic::error(codes::TEST_TRANSACTION, message).at(path.origin());
        let transactions = match dry_run::transactions(&body, limits) {
            Ok(transactions) => transactions,
            Err(rejection) => {
                let line = dry_run::rejected_line(&body, &rejection);
                let message = format!("{}, line {line}: transaction {}: {rejection}", file.name, rejection.index);
                self.diagnostics.push(error(message));
                return None;
            }
        };
        let count = transactions.len();
        let chosen = match number.and_then(Node::as_i64) {
            Some(number) => usize::try_from(number).ok().and_then(|number| transactions.get(number.checked_sub(1)?)),
            None => transactions.first().filter(|_| count == 1),
        };
        if chosen.is_none() {
            let diagnostic = error(format!("{} holds {count} transactions", file.name));
            self.diagnostics.push(match (number, count) {
                (_, 0) => diagnostic.label("none"),
                (None, _) => diagnostic.label("which one?").help(format!("write `transaction_number: 1` to {count}")),
                (Some(number), _) => diagnostic.related(number.origin(), "out of range"),
            });
        }
        chosen.map(|transaction| transaction.bytes().clone())
    }
}

/// A key of `fields` and its Lua.
fn lua_field((key, value): &(document::Key, Node)) -> Option<LuaField> {
    Some(LuaField { key: key.name.clone(), source: value.snippet()?, key_origin: key.origin() })
}
