//! `/config`: a whole declarative configuration in place of the active one.

use hyper::StatusCode;
use logphase_config::diagnostic::{Diagnostic, SourceFile};
use logphase_config::document;
use serde_json::{Map, Value, json};

use super::access::Caller;
use super::answer::{Answer, Call};
use super::body::{self, Body};
use super::error::{ApiError, ApiResult, lua_text};
use super::state::{self, State};
use super::{declared, flatten, secrets, yaml};
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

/// Loads the configuration of a request.
///
/// # Errors
/// The entities are in a database, or the configuration is refused; then the active one stays.
pub(crate) fn load(state: &State, call: &Call) -> ApiResult<Answer> {
    only_without_database(state)?;
    let Wanted { text, check_hash, flatten_errors } = Wanted::of(call)?;
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Err(ApiError::plain(StatusCode::BAD_REQUEST, "expected a declarative configuration"));
    };
    let source = SourceFile::new("config", text);
    if check_hash && declarative::digest(std::slice::from_ref(&source)) == state.hash() {
        return Ok((StatusCode::NOT_MODIFIED, None));
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
    let root = root.unwrap_or_default();
    let refused = |found: &[Diagnostic]| flatten::refused(found, &root, flatten_errors);
    let of_kong = [flatten::unknown_plugins(&root), declared::violations(&root)].concat();
    if let (false, Some(document)) = (of_kong.is_empty(), &document) {
        let other = state.gateway().check(document);
        return Err(refused(&[of_kong, other].concat()));
    }
    state.gateway().load(source).map_err(|found| refused(&found))?;
    let tables = state.tables();
    Ok((
        StatusCode::CREATED,
        Some(state::flattened(&tables, &|kind, entity| secrets::shown(&call.caller, kind, entity))),
    ))
}
