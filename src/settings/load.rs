//! Reading [`Settings`] from a file and the environment.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde_json::{Map, Value};

use super::Settings;
use logphase_config::diagnostic::{Diagnostic, Origin, Place, SourceFile, any_error, codes};
use logphase_config::document::{self, Node};
use logphase_config::schema::{Field, Record, Scope, Type};
use logphase_io::file;
use logphase_queue::failpoint;

/// Prefix of all variables.
const PREFIX: &str = "LOGPHASE_";
/// The variable with the path of the settings file; the command line reads it.
pub const FILE_VARIABLE: &str = "LOGPHASE_SETTINGS";

/// A variable and the setting it overrides.
struct Variable {
    name: String,
    path: Vec<&'static str>,
    field: &'static Field,
}

impl Settings {
    /// Reads `file`, if there is one, and over it the `LOGPHASE_*` variables of `environment`, on which the default of
    /// `data_dir` depends, too. If a diagnostic is an error, the settings are the defaults.
    pub fn load(
        file: Option<Arc<SourceFile>>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> (Self, Vec<Diagnostic>) {
        let environment: HashMap<String, String> = environment.collect();
        let (read, diagnostics) = read(file, &environment);
        let settings = read.and_then(|(_, values)| settings(values, &environment).ok());
        (settings.unwrap_or_else(|| defaults(&environment)), diagnostics)
    }

    /// Every setting that such a file and such an environment give, by its path in the file, sorted as the schema is. None if a
    /// value is invalid.
    pub fn origins(
        file: Option<Arc<SourceFile>>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Vec<SettingOrigin> {
        let environment: HashMap<String, String> = environment.collect();
        let Some((root, mut values)) = read(file, &environment).0 else { return Vec::new() };
        complete(&mut values, &environment);
        let of = |Variable { name, path, field }: Variable| {
            let (first, rest) = path.split_first()?;
            let value = rest.iter().try_fold(values.get(*first)?, |value, name| value.get(name));
            let node = path.iter().try_fold(&root, |node, name| node.get(name));
            let from = match node.map(Node::origin) {
                Some(Origin::File(place)) if place.file.name == name => GivenBy::Variable(name),
                Some(Origin::File(place)) => GivenBy::File(place),
                _ => GivenBy::Default,
            };
            Some(SettingOrigin { path: path.join("."), field, value: value.cloned().unwrap_or(Value::Null), from })
        };
        all_variables().into_iter().filter_map(of).collect()
    }
}

/// A setting and where its value comes from.
#[derive(Debug)]
pub struct SettingOrigin {
    /// Its path in the file, such as `inputs.http.listen`.
    pub path: String,
    /// Its definition.
    pub field: &'static Field,
    /// Its value; null if it has none.
    pub value: Value,
    /// Where that comes from.
    pub from: GivenBy,
}

/// Where the value of a setting comes from.
#[derive(Debug)]
pub enum GivenBy {
    /// Nobody gives one.
    Default,
    /// A place in the file.
    File(Place),
    /// The variable with this name.
    Variable(String),
}

/// A file of settings under the variables, and its values with all defaults.
type Given = (Node, Map<String, Value>);

/// What `file`, or an empty one, and the variables in `environment` say: the tree, and its valid values with all defaults. Neither if
/// a diagnostic is an error.
fn read(file: Option<Arc<SourceFile>>, environment: &HashMap<String, String>) -> (Option<Given>, Vec<Diagnostic>) {
    let file = file.unwrap_or_else(|| SourceFile::new("logphase.yml", ""));
    let (root, mut diagnostics) = document::parse(&file, None);
    let Some(mut root) = root else { return (None, diagnostics) };
    if root.is_null() {
        root = Node::empty_mapping_at(&root);
    }
    if root.entries().is_some() {
        overlay(&mut root, environment, &mut diagnostics);
    }
    let scope = Scope { subject: "the settings".into(), path: String::new(), kong: None, origin: root.origin() };
    let values = Settings::RECORD.read(&root, &scope, &mut diagnostics);
    super::database::check(&values, &mut diagnostics);
    super::redact::check(&values, &mut diagnostics);
    super::mapping::check(&root, &values, &mut diagnostics);
    if any_error(&diagnostics) { (None, diagnostics) } else { (Some((root, values)), diagnostics) }
}

impl Default for Settings {
    /// The settings without a file and with an empty environment.
    fn default() -> Self {
        defaults(&HashMap::new())
    }
}

fn defaults(environment: &HashMap<String, String>) -> Settings {
    settings(Settings::RECORD.defaults(), environment)
        .expect("the defaults of the schema fit the types, as a test checks")
}

fn settings(mut values: Map<String, Value>, environment: &HashMap<String, String>) -> serde_json::Result<Settings> {
    complete(&mut values, environment);
    let settings: Settings = serde_json::from_value(Value::Object(values.clone()))?;
    Ok(Settings { values: values.into(), ..settings })
}

/// Adds the defaults that depend on the machine and the environment.
fn complete(values: &mut Map<String, Value>, environment: &HashMap<String, String>) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    values.entry("workers").or_insert_with(|| cores.into());
    values.entry("data_dir").or_insert_with(|| data_dir(environment).to_string_lossy().into());
    for map in ["plugins", "mappings"] {
        values.entry(map).or_insert_with(|| serde_json::json!({}));
    }
}

/// Whether this is the data directory of a service that was given none.
pub(crate) fn is_default_data_dir(path: &Path) -> bool {
    path == data_dir(&environment().collect())
}

/// The variables of this process whose names and values are text; none in a process that reads no files either.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter(|_| !file::is_forbidden()).filter_map(text)
}

/// The default of `data_dir`: systemd's `STATE_DIRECTORY`; else `/var/lib/logphase` for root, and for others
/// `$XDG_STATE_HOME/logphase` or `~/.local/state/logphase`.
fn data_dir(environment: &HashMap<String, String>) -> PathBuf {
    // A process that reads no files has no data, and may not ask who runs it.
    if file::is_forbidden() {
        return "/nowhere".into();
    }
    let variable = |name: &str| environment.get(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
    // systemd sets it for a unit with StateDirectory=, and separates several by colons.
    if let Some(folder) = environment.get("STATE_DIRECTORY").and_then(|value| value.split(':').next())
        && folder.starts_with('/')
    {
        return folder.into();
    }
    let home = || Some(variable("HOME")?.join(".local/state"));
    let own = (!rustix::process::geteuid().is_root()).then(|| variable("XDG_STATE_HOME").or_else(home)).flatten();
    own.unwrap_or_else(|| "/var/lib".into()).join("logphase")
}

/// Overrides values of the file with those of variables.
fn overlay(root: &mut Node, environment: &HashMap<String, String>, diagnostics: &mut Vec<Diagnostic>) {
    let known = all_variables();
    let mut given: Vec<_> = environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    given.sort();
    let mut of_kubernetes = Vec::new();
    for (name, value) in given.into_iter().filter(|(name, _)| *name != FILE_VARIABLE && !failpoint::is_variable(name)) {
        let file = SourceFile::new(name.as_str(), value.as_str());
        let Some(variable) = known.iter().find(|variable| variable.name == *name) else {
            if is_of_kubernetes(name, value) {
                of_kubernetes.push(name.as_str());
                continue;
            }
            let diagnostic = Diagnostic::error(codes::UNKNOWN_VARIABLE, format!("unknown variable `{name}`"));
            let names = known.iter().map(|variable| variable.name.as_str());
            let mut diagnostic = diagnostic.suggest(name, names);
            if !diagnostic.label.is_empty() {
                diagnostic.help = Some(std::mem::take(&mut diagnostic.label));
            }
            diagnostics.push(diagnostic);
            continue;
        };
        if let Some(node) = node(variable.field, &file, diagnostics) {
            root.set(&variable.path, node);
        }
    }
    if !of_kubernetes.is_empty() {
        let message = format!("not read: variables that Kubernetes sets for a Service: {}", of_kubernetes.join(", "));
        diagnostics.push(Diagnostic::note(codes::SERVICE_VARIABLE, message));
    }
}

/// Whether Kubernetes sets a variable, in every pod beside a Service whose name begins with `logphase`: `NAME_SERVICE_HOST`,
/// `NAME_SERVICE_PORT`, `NAME_SERVICE_PORT_HTTP`, `NAME_PORT`, `NAME_PORT_80_TCP` and its parts (kubernetes.io, "Accessing the
/// Service"). A setting may be misspelt like one of them, so that the value counts, too.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    static FORM: LazyLock<Regex> = LazyLock::new(|| {
        let name = r"LOGPHASE(_[A-Z0-9_]+)?";
        let address = r"(tcp|udp|sctp)://\S+";
        let forms = [
            r"_SERVICE_HOST=\S+".to_owned(),
            r"_SERVICE_PORT(_[A-Z0-9_]+)?=[0-9]+".to_owned(),
            format!(r"_PORT(_[0-9]+_(TCP|UDP|SCTP))?={address}"),
            r"_PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=\S+".to_owned(),
        ];
        Regex::new(&format!("^{name}({})$", forms.join("|"))).expect("a valid expression")
    });
    FORM.is_match(&format!("{name}={value}"))
}

/// The value of a variable, in the syntax of its field's type.
fn node(field: &Field, file: &Arc<SourceFile>, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    match field.ty {
        Type::String => Some(Node::literal(file)),
        Type::Array(_) | Type::Set(_) if !file.text.trim_start().starts_with('[') => Some(Node::literal_list(file)),
        _ => {
            let (node, errors) = document::parse(file, None);
            diagnostics.extend(errors);
            node
        }
    }
}

/// Every variable with the path of its setting and the documentation.
pub fn variables() -> Vec<(String, String, &'static str)> {
    let all = all_variables().into_iter();
    all.map(|variable| (variable.name, variable.path.join("."), variable.field.about)).collect()
}

fn all_variables() -> Vec<Variable> {
    let mut variables = Vec::new();
    collect(Settings::RECORD, &mut Vec::new(), &mut variables);
    variables
}

fn collect(record: &'static Record, path: &mut Vec<&'static str>, variables: &mut Vec<Variable>) {
    for field in record.fields {
        path.push(field.name);
        if let Type::Record(inner) = field.ty {
            collect(inner, path, variables);
        } else {
            let named = if path[0] == "inputs" { &path[1..] } else { &path[..] };
            let name = format!("{PREFIX}{}", named.join("_").to_uppercase());
            variables.push(Variable { name, path: path.clone(), field });
        }
        path.pop();
    }
}
