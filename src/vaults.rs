//! Vault references: resolved in the fields of plugins, and refused where they stand if they have no value here.

use std::sync::Arc;

use serde_json::Value;

use crate::entity::{Configuration, Plugin};
use crate::settings::{Settings, environment};
use logphase_config::diagnostic::{Diagnostic, Origin, codes};
use logphase_config::document::SnippetSource;
use logphase_config::schema::{Field, Record, Type, is_vault_reference};
use logphase_script::needs::vault_references;
use logphase_script::vault::{Vault, VaultError};

/// The environment variables that `settings` allow, with the vaults of `configuration`.
pub(crate) fn open(configuration: &Configuration, settings: &Settings) -> Vault {
    Vault::new(&settings.vault.env.allow, environment(), configuration.vaults.clone())
}

/// Replaces the references in enabled plugins of `configuration` by what they refer to. Returns an error for each that has no
/// value, and for each in a field that Kong allows none in. No error shows a value.
pub(crate) fn resolve(configuration: &mut Configuration, settings: &Settings) -> Vec<Diagnostic> {
    let vault = open(configuration, settings);
    let referring = configuration.plugins.iter_mut().filter(|plugin| plugin.enabled && plugin.has_references);
    referring.flat_map(|plugin| resolve_plugin(Arc::make_mut(plugin), &|text, _| vault.resolve(text))).collect()
}

/// What stands for secrets where none is read: the first that a field accepts.
const CONCEALED: &[&str] = &["concealed", "http://concealed.invalid/", "1"];

/// Replaces the references in enabled plugins of `configuration` by texts that are no secrets, with a warning for each. Returns an error
/// for each reference that [`resolve`] refuses whatever the environment has.
pub(crate) fn conceal(configuration: &mut Configuration, settings: &Settings) -> Vec<Diagnostic> {
    let vault = Vault::new(&settings.vault.env.allow, std::iter::empty(), configuration.vaults.clone());
    let concealed = |text: &str, field: &Field| match vault.resolve(text) {
        Err(error) if error.unset => {
            let accepted = CONCEALED.iter().find(|text| field.accepts(&Value::from(**text)));
            Ok((*accepted.unwrap_or(&CONCEALED[0])).to_owned())
        }
        resolved => resolved,
    };
    let mut found = Vec::new();
    for plugin in configuration.plugins.iter_mut().filter(|plugin| plugin.enabled && plugin.has_references) {
        let plugin = Arc::make_mut(plugin);
        found.extend(resolve_plugin(plugin, &concealed));
        let warning = |(path, reference): &(String, String)| {
            let message = format!(
                "`config.{path}` of plugin `{}` has another text in place of {reference}",
                plugin.definition.name
            );
            let diagnostic =
                Diagnostic::warning(codes::VAULT, message).at(plugin.origin(path)).path(format!("config.{path}"));
            diagnostic.label("no secret is read here")
        };
        let refused = |path: &str| found.iter().any(|error| error.path.as_deref() == Some(&format!("config.{path}")));
        let warnings: Vec<_> = plugin.references.iter().filter(|(path, _)| !refused(path)).map(warning).collect();
        found.extend(warnings);
        // Neither half of it is one.
        let is_reference = |text: &String| CONCEALED.contains(&&**text);
        plugin.certificate.take_if(|pem| is_reference(&pem.cert) || is_reference(&pem.key));
    }
    found
}

/// The value of a reference in a field.
type Resolve<'a> = &'a dyn Fn(&str, &Field) -> Result<String, VaultError>;

/// For a text outside of a plugin's `config`.
const ANY_TEXT: Field = Field::string("");

/// The references that snippets of `plugin` give to `kong.vault.get` as they are and that can have no value.
pub(crate) fn refused_in_snippets(plugin: &Plugin, settings: &Settings, vault: &Vault) -> Vec<Diagnostic> {
    let replayed = plugin.earlier.iter().filter(|function| settings.replays(function.phase));
    let fields = plugin.fields.iter().map(|field| &field.source);
    let sources = fields.chain(replayed.map(|function| &function.source)).chain(&plugin.functions);
    let refused = |source: &SnippetSource| {
        let found = vault_references(&source.text).into_iter();
        // An allowed variable may be set later; the snippet gets nil.
        let errors = found.filter_map(|(reference, line)| Some((line, vault.resolve(&reference).err()?)));
        let errors = errors.filter(|(_, error)| !error.unset);
        errors
            .map(|(line, error)| {
                let what = format!("a snippet of plugin `{}` reads a secret", plugin.definition.name);
                unresolved(&what, &error, source.line_origin(line))
            })
            .collect::<Vec<_>>()
    };
    sources.flat_map(refused).collect()
}

fn unresolved(what: &str, error: &VaultError, origin: Origin) -> Diagnostic {
    Diagnostic::error(codes::VAULT, format!("{what}: {}", error.problem))
        .at(origin)
        .label("cannot be resolved")
        .help(error.help.clone())
}

/// A reference that was found, and why it cannot be used.
struct Found {
    /// The path of its field below `config`.
    path: String,
    reference: String,
    problem: Option<Problem>,
}

enum Problem {
    NotAllowedHere,
    Unresolved(VaultError),
    /// What it refers to does not fit the field.
    Unfit,
}

fn resolve_plugin(plugin: &mut Plugin, resolve: Resolve<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if let Value::Object(_) = &plugin.config {
        let mut config = std::mem::take(&mut plugin.config);
        visit_record(&mut config, plugin.definition.schema, "", resolve, &mut found);
        plugin.config = config;
    }
    let name = plugin.definition.name;
    let mut diagnostics: Vec<Diagnostic> = found.iter().filter_map(|found| refusal(plugin, found)).collect();
    plugin.references = found.into_iter().map(|found| (found.path, found.reference)).collect();
    let field = plugin.definition.certificate.join(".");
    if let Some(certificate) = &mut plugin.certificate {
        for (text, origin) in [&mut certificate.cert, &mut certificate.key].into_iter().zip(&certificate.origins) {
            if !is_vault_reference(text) {
                continue;
            }
            plugin.references.push((field.clone(), text.clone()));
            match resolve(text, &ANY_TEXT) {
                Ok(value) => *text = value,
                Err(error) => {
                    let what = format!("the certificate of plugin `{name}`");
                    diagnostics.push(unresolved(&what, &error, origin.clone()));
                }
            }
        }
    }
    diagnostics
}

fn refusal(plugin: &Plugin, found: &Found) -> Option<Diagnostic> {
    let what = format!("`{}` of plugin `{}`", found.path, plugin.definition.name);
    let origin = plugin.origin(&found.path);
    let diagnostic = match found.problem.as_ref()? {
        Problem::Unresolved(error) => unresolved(&what, error, origin),
        Problem::NotAllowedHere => Diagnostic::error(
            codes::VAULT,
            format!("{what} is a vault reference, and Kong resolves none in this field"),
        )
        .at(origin)
        .label("not a referenceable field")
        .help("use an environment variable: ${{ env \"DECK_NAME\" }}"),
        Problem::Unfit => Diagnostic::error(
            codes::VAULT,
            format!("{what}: what the reference refers to is not a value of this field"),
        )
        .at(origin)
        .label("refers to an unfit value"),
    };
    Some(diagnostic.path(format!("config.{}", found.path)))
}

fn visit_record(value: &mut Value, record: &Record, path: &str, resolve: Resolve<'_>, found: &mut Vec<Found>) {
    for (name, value) in value.as_object_mut().into_iter().flatten() {
        if let Some(field) = record.field(name) {
            visit(value, field, &join(path, name), resolve, found);
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Resolves the references in the value of `field`. The depth is that of the schema, or of a document that was read.
fn visit(value: &mut Value, field: &Field, path: &str, resolve: Resolve<'_>, found: &mut Vec<Found>) {
    match value {
        Value::String(text) if is_vault_reference(text) => {
            let reference = text.clone();
            let problem = match resolve(&reference, field) {
                _ if !field.referenceable => Some(Problem::NotAllowedHere),
                Err(error) => Some(Problem::Unresolved(error)),
                Ok(secret) => {
                    *value = Value::from(secret);
                    let empty = value.as_str().is_none_or(str::is_empty);
                    (empty || !field.accepts(value)).then_some(Problem::Unfit)
                }
            };
            found.push(Found { path: path.to_owned(), reference, problem });
        }
        Value::Array(items) => {
            let element = match field.ty {
                Type::Array(element) | Type::Set(element) => element,
                _ => field,
            };
            for (at, item) in items.iter_mut().enumerate() {
                visit(item, element, &format!("{path}[{at}]"), resolve, found);
            }
        }
        Value::Object(members) => match field.ty {
            Type::Record(record) => visit_record(value, record, path, resolve, found),
            Type::Map(_, values) => {
                members.iter_mut().for_each(|(name, value)| visit(value, values, &join(path, name), resolve, found));
            }
            _ => members.iter_mut().for_each(|(name, value)| visit(value, field, &join(path, name), resolve, found)),
        },
        _ => {}
    }
}
