//! `/config`: a whole declarative configuration in place of the active one.

use std::sync::Arc;

use hyper::StatusCode;
use logphase_config::diagnostic::{Diagnostic, SourceFile, any_error};
use logphase_config::document;
use serde_json::{Map, Value, json};

use super::access::Caller;
use super::answer::{Answer, Call};
use super::body::{self, Body};
use super::error::{ApiError, ApiResult, lua_text};
use super::kind::KINDS;
use super::state::{self, State};
use super::tables::{Change, Entity, Tables};
use super::{declared, flatten, secrets, texts, yaml};
use crate::declarative;

fn only_without_database(state: &State) -> ApiResult<()> {
    if !state.has_database() {
        return Ok(());
    }
    let message = "this endpoint is only available when Kong is configured to not use a database";
    Err(ApiError::plain(StatusCode::BAD_REQUEST, message))
}

/// The active configuration.
///
/// # Errors
/// The entities are in a database.
pub(crate) fn show(state: &State, caller: &Caller) -> ApiResult<Value> {
    only_without_database(state)?;
    Ok(
        json!({"config": yaml::print(&state::exported(&state.tables(), &|kind, entity| secrets::shown(caller, kind, entity)))}),
    )
}

/// What a request wants to be loaded, and how.
struct Wanted {
    /// The text; `None` if nothing was sent.
    text: Option<String>,
    check_hash: bool,
    flatten_errors: bool,
}

impl Wanted {
    fn of(call: &Call) -> ApiResult<Self> {
        let mut arguments = Map::new();
        let pairs = body::urlencoded(call.query.as_bytes())
            .map_err(|error| ApiError::plain(error.status(), error.to_string()))?;
        arguments.extend(pairs.into_iter().map(|(name, value)| (name, value.unwrap_or_default().into())));
        let (mut whole, mut is_document) = (None, false);
        match &call.body {
            Body::None => {}
            Body::Yaml(text) => whole = Some(text.clone()),
            Body::Json(members) => {
                arguments.extend(members.clone());
                if members.contains_key("_format_version") || !members.contains_key("config") {
                    let mut document = members.clone();
                    document.retain(|name, _| !matches!(&**name, "check_hash" | "flatten_errors"));
                    whole = Some(Value::Object(document).to_string());
                    is_document = members.contains_key("_format_version");
                }
            }
            Body::Form(pairs) => {
                arguments
                    .extend(pairs.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default().into())));
            }
        }
        let flag = |name: &str, words: &[&str]| match arguments.get(name) {
            Some(Value::Bool(flag)) => *flag && words.len() > 1,
            Some(Value::String(text)) => words.contains(&&*text.to_ascii_lowercase()),
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
        };
        // A document has no text whose hash could be compared.
        let check_hash = flag("check_hash", &["1"]) && !is_document;
        let flatten_errors = flag("flatten_errors", &["1", "true", "on", "yes"]);
        let text = whole.or_else(|| arguments.get("config").and_then(Value::as_str).map(str::to_owned));
        Ok(Self { text, check_hash, flatten_errors })
    }
}

/// A configuration that a request wants to be loaded.
struct Given {
    source: Arc<SourceFile>,
    document: Option<document::Node>,
    root: Value,
    flatten_errors: bool,
}

impl Given {
    /// Reads the configuration of `call`; `None` if it is the active one, and the call does not want that loaded.
    ///
    /// # Errors
    /// There is none, or the entities are in a database.
    fn read(state: &State, call: &Call) -> ApiResult<Option<Self>> {
        only_without_database(state)?;
        let Wanted { text, check_hash, flatten_errors } = Wanted::of(call)?;
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Err(ApiError::plain(StatusCode::BAD_REQUEST, "expected a declarative configuration"));
        };
        let source = SourceFile::new("config", text);
        if check_hash && declarative::digest(std::slice::from_ref(&source)) == state.hash() {
            return Ok(None);
        }
        let (document, _) = document::parse(&source, None);
        let root = document.as_ref().map(document::Node::to_json);
        if !root.as_ref().is_some_and(Value::is_object) {
            let why = "failed parsing declarative configuration: expected an object";
            return Err(ApiError::declarative(
                format!("declarative config is invalid: {}", lua_text(&json!({"error": why}))),
                json!({"error": why}),
            ));
        }
        Ok(Some(Self { source, document, root: root.unwrap_or_default(), flatten_errors }))
    }

    fn refused(&self, found: &[Diagnostic]) -> ApiError {
        flatten::refused(found, &self.root, self.flatten_errors)
    }

    /// What Kong refuses of it.
    fn violations(&self) -> Vec<Diagnostic> {
        [flatten::unknown_plugins(&self.root), declared::violations(&self.root)].concat()
    }
}

/// What loading the configuration of a request would change.
///
/// # Errors
/// As [`load`].
pub(super) fn plan(state: &State, call: &Call) -> ApiResult<Vec<(Change, Change)>> {
    let Some(given) = Given::read(state, call)? else { return Ok(Vec::new()) };
    let other = given.document.as_ref().map(|document| state.gateway().check(document)).unwrap_or_default();
    let found = [given.violations(), other].concat();
    if any_error(&found) {
        return Err(given.refused(&found));
    }
    let (before, mut after) = (state.tables(), Tables::new());
    after.apply(&texts::entities(std::slice::from_ref(&given.source), state::now()));
    let mut changes = Vec::new();
    for kind in KINDS {
        let change = |id: &String, entity: Option<&Entity>| Change { kind, id: id.clone(), entity: entity.cloned() };
        let new = after.all(kind).map(|(id, entity)| (change(id, before.get(kind, id)), change(id, Some(entity))));
        changes.extend(new.filter(|(old, new)| !same(old.entity.as_ref(), new.entity.as_ref())));
        let gone = before.all(kind).filter(|(id, _)| after.get(kind, id).is_none());
        changes.extend(gone.map(|(id, entity)| (change(id, Some(entity)), change(id, None))));
    }
    Ok(changes)
}

/// Whether two entities are the same but for their times.
fn same(one: Option<&Entity>, other: Option<&Entity>) -> bool {
    let plain = |entity: Option<&Entity>| {
        entity.map(|entity| {
            let mut entity = Map::clone(entity);
            entity.retain(|name, _| !matches!(&**name, "created_at" | "updated_at"));
            entity
        })
    };
    plain(one) == plain(other)
}

/// Loads the configuration of a request.
///
/// # Errors
/// The entities are in a database, or the configuration is refused; then the active one stays.
pub(crate) fn load(state: &State, call: &Call) -> ApiResult<Answer> {
    let Some(given) = Given::read(state, call)? else { return Ok((StatusCode::NOT_MODIFIED, None)) };
    let of_kong = given.violations();
    if let (false, Some(document)) = (of_kong.is_empty(), &given.document) {
        let other = state.gateway().check(document);
        return Err(given.refused(&[of_kong, other].concat()));
    }
    state.gateway().load(given.source.clone()).map_err(|found| given.refused(&found))?;
    let tables = state.tables();
    Ok((
        StatusCode::CREATED,
        Some(state::flattened(&tables, &|kind, entity| secrets::shown(&call.caller, kind, entity))),
    ))
}
