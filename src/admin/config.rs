//! `/config`: a whole declarative configuration in place of the active one.

use hyper::StatusCode;
use logphase_config::diagnostic::{Diagnostic, SourceFile};
use logphase_config::document;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Call};
use super::body::{self, Body};
use super::error::{ApiError, ApiResult, lua_text};
use super::kind::KINDS;
use super::state::{self, State};
use super::yaml;
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
pub(crate) fn show(state: &State) -> ApiResult<Value> {
    only_without_database(state)?;
    Ok(json!({"config": yaml::print(&state::exported(&state.tables()))}))
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
        let mut whole = None;
        match &call.body {
            Body::None => {}
            Body::Yaml(text) => whole = Some(text.clone()),
            Body::Json(members) if members.contains_key("config") || !members.contains_key("_format_version") => {
                arguments.extend(members.clone());
            }
            Body::Json(members) => whole = Some(Value::Object(members.clone()).to_string()),
            Body::Form(pairs) => {
                arguments
                    .extend(pairs.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default().into())));
            }
        }
        let flag = |name: &str| match arguments.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => matches!(&**text, "1" | "true" | "on" | "yes"),
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
        };
        let (check_hash, flatten_errors) = (flag("check_hash"), flag("flatten_errors"));
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
    let (root, _) = document::parse(&source, None);
    let root = root.map(|root| root.to_json());
    if !root.as_ref().is_some_and(Value::is_object) {
        let why = "failed parsing declarative configuration: expected an object";
        return Err(ApiError::declarative(
            format!("declarative config is invalid: {}", lua_text(&json!({"error": why}))),
            json!({"error": why}),
        ));
    }
    if let Err(found) = state.gateway().load(source) {
        return Err(refused(&found, &root.unwrap_or_default(), flatten_errors));
    }
    let tables = state.tables();
    let show = |entity: &super::tables::Entity| Value::Object(Map::clone(entity));
    Ok((StatusCode::CREATED, Some(state::flattened(&tables, &show))))
}

/// Kong's error for `found` in the document `root`.
fn refused(found: &[Diagnostic], root: &Value, flatten: bool) -> ApiError {
    let mut fields = Value::Object(Map::new());
    let mut flattened: Vec<Flattened> = Vec::new();
    for error in found.iter().filter(|diagnostic| diagnostic.is_error()) {
        let wording = wording(error);
        let steps = steps(error.path.as_deref().unwrap_or_default());
        match flatten.then(|| entity_at(&steps, root)).flatten() {
            Some((at, kind)) => match flattened.iter_mut().find(|known| known.at == steps[..at]) {
                Some(known) => known.errors.push(error_of(&steps[at..], &wording)),
                None => flattened.push(Flattened {
                    at: steps[..at].to_vec(),
                    kind,
                    errors: vec![error_of(&steps[at..], &wording)],
                }),
            },
            None => insert(&mut fields, &steps, &wording),
        }
    }
    let mut all = fields.clone();
    for one in &flattened {
        for error in &one.errors {
            let below = error.get("field").and_then(Value::as_str).map(steps_of_field).unwrap_or_default();
            let path: Vec<Step> = one.at.iter().cloned().chain(below).collect();
            insert(&mut all, &path, error["message"].as_str().unwrap_or_default());
        }
    }
    let message = format!("declarative config is invalid: {}", lua_text(&all));
    let mut error = ApiError::declarative(message, fields);
    if flatten {
        error.body["flattened_errors"] = flattened.iter().map(|one| one.shown(root)).collect();
    }
    error
}

/// The errors of one entity.
struct Flattened {
    at: Vec<Step>,
    kind: &'static str,
    errors: Vec<Value>,
}

impl Flattened {
    fn shown(&self, root: &Value) -> Value {
        let mut entity = at(root, &self.at).cloned().unwrap_or_default();
        let text = |name: &str| entity.get(name).filter(|value| !value.is_null()).cloned();
        let (name, id, tags) = (text("name").or(text("username")), text("id"), text("tags"));
        if let Some(members) = entity.as_object_mut() {
            members.retain(|name, value| !(value.is_array() && KINDS.iter().any(|kind| kind.name == name)));
        }
        let mut shown = json!({"entity_type": self.kind, "entity": entity, "errors": self.errors});
        for (member, value) in [("entity_name", name), ("entity_id", id), ("entity_tags", tags)] {
            if let Some(value) = value {
                shown[member] = value;
            }
        }
        shown
    }
}

/// A step of a path in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
}

/// The steps of `services[0].plugins[1].config`.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        let name = pieces.next().unwrap_or_default();
        if !name.is_empty() {
            steps.push(Step::Member(name.to_owned()));
        }
        steps.extend(pieces.filter_map(|piece| piece.trim_end_matches(']').parse().ok()).map(Step::Element));
    }
    steps
}

/// The steps of a field as `flattened_errors` has it: `config.paths.1`.
fn steps_of_field(field: &str) -> Vec<Step> {
    let step = |part: &str| match part.parse::<usize>() {
        Ok(number) if number > 0 => Step::Element(number - 1),
        _ => Step::Member(part.to_owned()),
    };
    field.split('.').map(step).collect()
}

fn at<'a>(root: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(root, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Element(index) => value.get(index),
    })
}

/// How many of `steps` lead to the innermost entity, and what that is.
fn entity_at(steps: &[Step], root: &Value) -> Option<(usize, &'static str)> {
    let mut found = None;
    for (at, pair) in steps.windows(2).enumerate() {
        if let [Step::Member(name), Step::Element(_)] = pair
            && let Some(kind) = KINDS.iter().find(|kind| kind.name == name)
            && self::at(root, &steps[..at + 2]).is_some_and(Value::is_object)
        {
            found = Some((at + 2, kind.singular));
        }
    }
    found
}

fn error_of(below: &[Step], wording: &str) -> Value {
    if below.is_empty() {
        return json!({"type": "entity", "message": wording});
    }
    let field: Vec<String> = below
        .iter()
        .map(|step| match step {
            Step::Member(name) => name.clone(),
            Step::Element(index) => (index + 1).to_string(),
        })
        .collect();
    json!({"type": "field", "field": field.join("."), "message": wording})
}

/// Puts `wording` at the place that `steps` lead to; the first one stays.
fn insert(target: &mut Value, steps: &[Step], wording: &str) {
    match (steps, target) {
        ([], target @ Value::Null) => *target = wording.into(),
        ([], Value::Object(members)) => {
            let texts = members.entry("@entity").or_insert_with(|| json!([]));
            if let Some(texts) = texts.as_array_mut() {
                texts.push(wording.into());
            }
        }
        ([Step::Member(name), rest @ ..], target) => {
            if target.is_null() {
                *target = json!({});
            }
            if let Some(members) = target.as_object_mut() {
                insert(members.entry(name.as_str()).or_insert(Value::Null), rest, wording);
            }
        }
        ([Step::Element(index), rest @ ..], target) => {
            if target.is_null() {
                *target = json!([]);
            }
            if let Some(items) = target.as_array_mut() {
                if items.len() <= *index {
                    items.resize(index + 1, Value::Null);
                }
                insert(&mut items[*index], rest, wording);
            }
        }
        _ => {}
    }
}

/// Kong's text about the value itself.
fn wording(diagnostic: &Diagnostic) -> String {
    if let Some(field) = &diagnostic.field {
        return field.message.clone();
    }
    let kong = diagnostic.kong.as_deref().unwrap_or_default();
    // `in 'path': text`
    let text = kong.strip_prefix("in '").and_then(|rest| rest.split_once("': ")).map_or(kong, |(_, text)| text);
    if text.is_empty() { diagnostic.message.clone() } else { text.to_owned() }
}
