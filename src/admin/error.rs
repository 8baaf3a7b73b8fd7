//! The errors that the Admin API answers with, in Kong's form (kong/db/errors.lua, kong/api/endpoints.lua).

use hyper::StatusCode;
use logphase_config::diagnostic::{Diagnostic, FieldPath, Origin, Segment, field_errors, violation_message};
use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::store::StoreError;

/// An error and its status.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// The body of the answer.
    pub(crate) body: Value,
}

/// The result of a request.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// The errors with a code: the code, its name, its status (kong/db/errors.lua). The name of code 10 goes on with that of a field.
pub(super) const CODES: &[(u8, &str, StatusCode)] = &[
    (1, "invalid primary key", StatusCode::BAD_REQUEST),
    (2, "schema violation", StatusCode::BAD_REQUEST),
    (3, "primary key violation", StatusCode::BAD_REQUEST),
    (4, "foreign key violation", StatusCode::BAD_REQUEST),
    (5, "unique constraint violation", StatusCode::CONFLICT),
    (6, "not found", StatusCode::NOT_FOUND),
    (7, "invalid offset", StatusCode::BAD_REQUEST),
    (9, "invalid size", StatusCode::BAD_REQUEST),
    (10, "invalid unique", StatusCode::BAD_REQUEST),
    (11, "invalid options", StatusCode::BAD_REQUEST),
    (12, "operation unsupported", StatusCode::METHOD_NOT_ALLOWED),
    (13, "foreign keys unresolved", StatusCode::BAD_REQUEST),
    (14, "invalid declarative configuration", StatusCode::BAD_REQUEST),
    (19, "referenced by others", StatusCode::BAD_REQUEST),
];

impl ApiError {
    /// An error with only a message.
    pub(crate) fn plain(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, body: json!({"message": message.into()}) }
    }

    /// There is no such path or entity.
    pub(crate) fn not_found() -> Self {
        Self::plain(StatusCode::NOT_FOUND, "Not found")
    }

    fn coded(code: u8, message: String) -> Self {
        let (_, name, status) = CODES.iter().find(|(known, ..)| *known == code).expect("every code is in the table");
        Self { status: *status, body: json!({"code": code, "name": name, "message": message}) }
    }

    fn with_fields(mut self, fields: Value) -> Self {
        self.body["fields"] = fields;
        self
    }

    /// Violations of a schema, by field.
    pub(crate) fn schema(fields: Value) -> Self {
        let message = violation_message(&fields);
        Self::coded(2, message).with_fields(fields)
    }

    /// The violations among `diagnostics`. An error about no field is one about the entity.
    pub(crate) fn violations(diagnostics: &[Diagnostic]) -> Self {
        let mut fields = field_errors(diagnostics);
        let about_none = diagnostics.iter().filter(|found| found.is_error() && found.field.is_none());
        let texts: Vec<Value> = about_none.map(|found| found.message.as_str().into()).collect();
        if !texts.is_empty()
            && let Some(fields) = fields.as_object_mut()
            && let Value::Array(all) = fields.entry("@entity").or_insert_with(|| json!([]))
        {
            all.extend(texts);
        }
        Self::schema(fields)
    }

    /// What the configuration that a request leads to is refused for.
    pub(crate) fn refused(found: &[Diagnostic]) -> Self {
        let located: Vec<Diagnostic> = found.iter().filter(|found| found.is_error()).map(located).collect();
        Self::violations(&located)
    }

    /// The id of a new entity is in use.
    pub(crate) fn primary_key(id: &str) -> Self {
        let message = format!("primary key violation on key '{{id=\"{id}\"}}'");
        Self::coded(3, message).with_fields(json!({ "id": id }))
    }

    /// A reference to an entity that does not exist.
    pub(crate) fn foreign_key(field: &str, id: &str, target: &Kind) -> Self {
        let message =
            format!("the foreign key '{{id=\"{id}\"}}' does not reference an existing '{}' entity.", target.name);
        let error = Self::coded(4, message);
        error.with_fields(json!({ field: {"id": id} }))
    }

    /// An entity cannot be deleted, since one of `by` refers to it.
    pub(crate) fn referenced(kind: &Kind, by: &Kind) -> Self {
        let message = format!("an existing '{}' entity references this '{}' entity", by.name, kind.name);
        let error = Self::coded(4, message);
        error.with_fields(json!({"@referenced_by": by.name}))
    }

    /// The CA certificate `id` cannot be deleted, since the entity `user` of the kind `by` trusts it.
    pub(crate) fn referenced_by_others(id: &str, by: &str, user: &str) -> Self {
        Self::coded(19, format!("ca certificate {id} is still referenced by {by} (id = {user})"))
    }

    /// Another entity has the same value, or the same combination of values.
    pub(crate) fn unique(fields: Map<String, Value>) -> Self {
        let message = format!("UNIQUE violation detected on '{}'", lua_table(&fields));
        let error = Self::coded(5, message);
        error.with_fields(Value::Object(fields))
    }

    /// There is no entity with the id `id`.
    pub(crate) fn missing(id: &str) -> Self {
        let message = format!("could not find the entity with primary key '{{id=\"{id}\"}}'");
        Self::coded(6, message).with_fields(json!({ "id": id }))
    }

    /// There is no entity whose `field` is `value`.
    pub(crate) fn missing_by(field: &str, value: &str) -> Self {
        let message = format!("could not find the entity with '{{{field}=\"{value}\"}}'");
        Self::coded(6, message).with_fields(json!({ field: value }))
    }

    /// The offset of a list is not one that a list gave.
    pub(crate) fn offset(offset: &str, why: &str) -> Self {
        let message = format!("'{offset}' is not a valid offset: {why}");
        Self::coded(7, message)
    }

    /// The size of a page is wrong.
    pub(crate) fn size(message: &str) -> Self {
        Self::coded(9, message.to_owned())
    }

    /// The key in a path cannot be one of an entity.
    pub(crate) fn invalid_unique(field: &str, message: String) -> Self {
        let mut error = Self::coded(10, message);
        error.body["name"] = format!("invalid unique {field}").into();
        error
    }

    /// An argument of a list is wrong.
    pub(crate) fn option(name: &str, why: &str) -> Self {
        let message = format!("invalid option ({name}: {why})");
        let mut error = Self::coded(11, message);
        error.body["options"] = json!({ name: why });
        error
    }

    /// Entities cannot be changed without a database.
    pub(crate) fn read_only(verb: &str, kind: &Kind, by: Option<&str>) -> Self {
        let by = by.map(|field| format!(" by '{field}'")).unwrap_or_default();
        let message = format!("cannot {verb} '{}' entities{by} when not using a database", kind.name);
        Self::coded(12, message)
    }

    /// References by name to entities that do not exist: the field of each, the name, and the kind.
    pub(crate) fn unresolved(references: &[(&str, String, &Kind)]) -> Self {
        let (mut texts, mut fields) = (Vec::new(), Map::new());
        for (field, value, target) in references {
            let key = target.key;
            let why = format!(
                "the foreign key cannot be resolved with '{{{key}=\"{value}\"}}' for an existing '{}' entity",
                target.name
            );
            texts.push(format!("{field}.{key}: {why}"));
            fields.insert((*field).to_owned(), json!({key: why}));
        }
        texts.sort();
        let message = match &*texts {
            [only] => format!("foreign key unresolved ({only})"),
            all => format!("{} foreign keys unresolved ({})", all.len(), all.join("; ")),
        };
        let error = Self::coded(13, message);
        error.with_fields(Value::Object(fields))
    }

    /// The id in a path is not one.
    pub(crate) fn invalid_primary_key() -> Self {
        let fields = json!({"id": "expected a valid UUID"});
        let message = format!("invalid primary key: '{}'", lua_text(&fields));
        Self::coded(1, message).with_fields(fields)
    }

    /// A declarative configuration is refused.
    pub(crate) fn declarative(message: String, fields: Value) -> Self {
        let error = Self::coded(14, message);
        error.with_fields(fields)
    }

    /// The database cannot be used at the moment.
    pub(crate) fn unavailable(reason: &str) -> Self {
        Self::plain(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}; nothing is changed"))
    }

    /// The store has refused a change.
    pub(crate) fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Away { .. } | StoreError::Refused { .. } => Self::unavailable(&error.to_string()),
            error => Self::unexpected(&error.to_string()),
        }
    }

    /// Something that is no fault of the request. The reason is in the log.
    pub(crate) fn unexpected(reason: &str) -> Self {
        tracing::error!("admin: {reason}");
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred")
    }
}

/// The texts in `fields`, each with the path of its field.
pub(super) fn leaves(fields: &Value, path: &FieldPath, into: &mut Vec<(FieldPath, String)>) {
    match fields {
        Value::String(text) => into.push((path.clone(), text.clone())),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                leaves(item, &path.join(Segment::Element(at)), into);
            }
        }
        Value::Object(members) => {
            for (name, below) in members {
                if name == "@entity" {
                    let texts = below.as_array().into_iter().flatten().filter_map(Value::as_str);
                    into.extend(texts.map(|text| (path.entity(), text.to_owned())));
                } else {
                    leaves(below, &path.join(Segment::Field(name.clone())), into);
                }
            }
        }
        _ => {}
    }
}

/// `diagnostic` about a whole configuration as one about the field of an entity. A snippet is one of `custom_fields_by_lua`, about
/// which Kong has one text.
fn located(diagnostic: &Diagnostic) -> Diagnostic {
    if diagnostic.field.is_some() {
        return diagnostic.clone();
    }
    let path = match &diagnostic.origin {
        Origin::Request { path } => path.as_str(),
        Origin::File(_) => diagnostic.path.as_deref().unwrap_or_default(),
        _ => "",
    };
    // `plugins[3].config.path`
    let below = path.split_once("].").map_or(path, |(_, below)| below);
    const SNIPPETS: &str = "config.custom_fields_by_lua";
    let field = if below.starts_with(SNIPPETS) { SNIPPETS } else { below };
    let mut text = match &diagnostic.kong {
        Some(kong) => kong.clone(),
        None if diagnostic.label.is_empty() => diagnostic.message.clone(),
        None => format!("{}: {}", diagnostic.message, diagnostic.label),
    };
    if let Some(help) = &diagnostic.help {
        text = format!("{text}; {help}");
    }
    diagnostic.clone().violation(if field.starts_with("config.") { field } else { "" }, text)
}

/// `fields` as Kong prints a table in a message: members by name, without spaces.
fn lua_table(fields: &Map<String, Value>) -> String {
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort();
    let member = |name: &String| format!("{}={}", lua_key(name), lua_value(&fields[name]));
    let members: Vec<String> = names.into_iter().map(member).collect();
    format!("{{{}}}", members.join(","))
}

fn lua_key(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { name.to_owned() } else { format!("[\"{name}\"]") }
}

/// `value` as Kong prints it in a message: elements by position, and by number after a gap.
pub(crate) fn lua_text(value: &Value) -> String {
    lua_value(value)
}

fn lua_value(value: &Value) -> String {
    match value {
        Value::Object(members) => lua_table(members),
        Value::Array(items) => {
            let whole = items.iter().position(Value::is_null).unwrap_or(items.len());
            let items = items.iter().enumerate().filter(|(_, item)| !item.is_null());
            let items: Vec<String> = items
                .map(|(at, item)| match at < whole {
                    true => lua_value(item),
                    false => format!("[{}]={}", at + 1, lua_value(item)),
                })
                .collect();
            format!("{{{}}}", items.join(","))
        }
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    }
}
