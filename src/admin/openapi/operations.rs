//! What each method does at each path: parameters, bodies, answers.

use serde_json::{Map, Value, json};

use super::answers::{CONFIG, KEY, LIST, PLAIN, WRITE};
use super::{JSON, entities, examples, fields, object, reference_to};
use crate::admin::kind::{self, Kind};
use crate::admin::old::Old;
use crate::admin::route::Target;
use crate::admin::upstreams::UpstreamPath;

const FORMS: [&str; 2] = ["application/x-www-form-urlencoded", "multipart/form-data"];

/// Parameters of queries.
pub(super) fn parameters() -> Value {
    let query = |name: &str, about: &str, schema: Value| json!({"name": name, "in": "query", "description": about, "schema": schema});
    let text = || json!({"type": "string"});
    let size = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100});
    let flag = |words: &[&str]| json!({"enum": words});
    json!({
        "size": query("size", "The most entities on a page.", size),
        "offset": query("offset", "Where the page begins: the `offset` of the page before it.", text()),
        "tags": query("tags", "Only entities with all of the tags `a,b`, or with one of `a/b`; at most 5.", text()),
        "custom_id": query("custom_id", "Only the consumer with this `custom_id`.", json!({"type": "string", "minLength": 1})),
        "list_consumers": query("list_consumers", "Whether the answer has the consumers of the group.", json!({"type": "boolean", "default": true})),
        "unit": query("unit", "The unit of sizes of memory.", json!({"enum": ["b", "k", "m", "g"], "default": "m"})),
        "scale": query("scale", "Digits after the point.", json!({"type": "integer", "minimum": 0, "maximum": 9, "default": 2})),
        "timeout": query("timeout", "For how many seconds the level stays; 0: until the service stops.", json!({"type": "integer", "minimum": 0, "default": 60})),
        "balancer_health": query("balancer_health", "1: the health of the upstream, not of its targets.", flag(&["1"])),
        "check_hash": query("check_hash", "Answer 304 if the configuration is the active one.", flag(&["1"])),
        "flatten_errors": query("flatten_errors", "List errors by entity.", flag(&["1", "true", "on", "yes"])),
    })
}

/// The parameters in the path `path`.
pub(super) fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            let mut schema = json!({"type": "string", "minLength": 1});
            let mut about = String::new();
            if let Some(kind) = kind::find(name).filter(|_| path != "/tags/{tags}") {
                about = match kind.key {
                    "" => "The id.".to_owned(),
                    key => format!("The id or the `{key}`."),
                };
                let body = examples::entity(kind.name).unwrap_or_default();
                if let Some(example) = body.get(kind.key).filter(|_| !kind.key.is_empty()) {
                    schema["examples"] = json!([example]);
                }
            }
            if name == "log_level" {
                schema = json!({"enum": crate::admin::log_level::LEVELS});
            }
            let mut parameter = json!({"name": name, "in": "path", "required": true, "schema": schema});
            if !about.is_empty() {
                parameter["description"] = about.into();
            }
            parameter
        })
        .collect()
}

/// One operation, as it grows.
struct Operation {
    parameters: Vec<&'static str>,
    body: Option<Value>,
    /// By status.
    answers: Vec<(u16, Value)>,
}

impl Operation {
    /// An operation that answers `status` with the schema `schema`, and 400 as `refused` says.
    fn new(status: u16, schema: Option<Value>, refused: (&str, &[u8])) -> Self {
        let success = match schema {
            Some(schema) => json!({"description": "It is done.", "content": {JSON: {"schema": schema}}}),
            None => shared("NoContent"),
        };
        Self { parameters: Vec::new(), body: None, answers: vec![(status, success), (400, shared(refused.0))] }
    }

    fn or(mut self, statuses: &[u16]) -> Self {
        self.answers.extend(statuses.iter().map(|status| {
            let name = match status {
                404 => "NotFound",
                405 => "ReadOnly",
                _ => "Conflict",
            };
            (*status, shared(name))
        }));
        self
    }

    fn with(mut self, parameters: &[&'static str]) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// An operation with a body of these types.
    fn body(mut self, content: Value) -> Self {
        self.body = Some(json!({ "content": content }));
        self.answers.extend([(408, shared("Late")), (413, shared("TooLarge")), (415, shared("MediaType"))]);
        self
    }
}

fn shared(answer: &str) -> Value {
    json!({"$ref": format!("#/components/responses/{answer}")})
}

/// The operation `method` of `target`, whose path is `path`.
pub(super) fn operation(path: &str, target: &Target, method: &str) -> Value {
    let mut operation = match method {
        "OPTIONS" => Operation { parameters: Vec::new(), body: None, answers: vec![(204, shared("Options"))] },
        "HEAD" => of_target(target, "GET"),
        method => of_target(target, method),
    };
    if method != "OPTIONS" {
        operation.answers.push((401, shared("Unauthorized")));
    }
    if ["POST", "PUT", "PATCH", "DELETE"].contains(&method) {
        operation.answers.push((503, shared("Away")));
    }
    operation.answers.extend([(403, shared("Forbidden")), (421, shared("WrongHost"))]);
    if method == "HEAD" {
        for (_, answer) in &mut operation.answers {
            *answer = json!({"description": "The answer to GET, without its body."});
        }
    }
    operation.answers.sort_by_key(|(status, _)| *status);
    let answers: Map<String, Value> =
        operation.answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
    let words = path.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let mut json = json!({"operationId": format!("{}{}", method.to_ascii_lowercase(), words.trim_end_matches('_'))});
    if matches!(target, Target::Old(_) | Target::OldPluginSchema(_)) {
        json["deprecated"] = true.into();
    }
    if method == "OPTIONS" {
        json["security"] = json!([]);
    }
    if !operation.parameters.is_empty() {
        let named = |name: &&str| json!({"$ref": format!("#/components/parameters/{name}")});
        json["parameters"] = operation.parameters.iter().map(named).collect();
    }
    if let Some(body) = operation.body {
        json["requestBody"] = body;
    }
    json["responses"] = Value::Object(answers);
    json
}

fn of_target(target: &Target, method: &str) -> Operation {
    let node = |schema: &str| Operation::new(200, Some(reference_to(schema)), PLAIN);
    let message = || Operation::new(200, Some(reference_to("Message")), PLAIN);
    let any = || json!({JSON: {"schema": {"type": "object"}}});
    match target {
        Target::Node => node("Node"),
        Target::Status => node("Status").with(&["unit", "scale"]),
        Target::OpenApi => Operation::new(200, Some(json!({"type": "object"})), PLAIN),
        Target::Endpoints => node("Endpoints"),
        Target::Timers => node("Timers"),
        Target::EnabledPlugins => node("EnabledPlugins"),
        Target::Schema(_) | Target::PluginSchema(_) | Target::OldPluginSchema(_) | Target::VaultSchema(_) => {
            node("EntitySchema").or(&[404])
        }
        Target::FilterSchema(_) => never(PLAIN, method, any()).or(&[404]),
        Target::Validate(name) => {
            let schema = match name.as_str() {
                "plugins" => reference_to("NewPlugin"),
                "vaults" => reference_to("NewVault"),
                _ => json!({"type": "object"}),
            };
            Operation::new(200, Some(reference_to("Message")), WRITE).or(&[404]).body(json!({JSON: {"schema": schema}}))
        }
        Target::Config if method == "GET" => node("Config"),
        Target::Config => {
            let mut load = Operation::new(201, Some(reference_to("LoadedConfig")), CONFIG);
            load.answers.push((304, json!({"description": "It is the active configuration."})));
            let form = object(json!({"config": {"type": "string"}}), &["config"]);
            load.with(&["check_hash", "flatten_errors"]).body(json!({
                JSON: {"schema": {"type": "object"}},
                FORMS[0]: {"schema": form},
                FORMS[1]: {"schema": form},
                "application/yaml": {"schema": {"type": "string"}},
                "text/yaml": {"schema": {"type": "string"}},
            }))
        }
        Target::Tags | Target::Tag(_) if method == "GET" => {
            Operation::new(200, Some(reference_to("TagList")), LIST).with(&["size", "offset"])
        }
        // Tags are written with their entities.
        Target::Tags | Target::Tag(_) => never(WRITE, method, any()),
        Target::Cache => Operation::new(204, None, PLAIN),
        Target::CacheKey if method == "DELETE" => Operation::new(204, None, PLAIN),
        Target::CacheKey => {
            let mut cached = Operation::new(200, Some(json!({"type": "object"})), PLAIN).or(&[404]);
            cached.answers.remove(0);
            cached
        }
        Target::Clustering | Target::FilterChains => never(PLAIN, method, any()),
        Target::LogLevel => message(),
        Target::SetLogLevel(_) => message().or(&[405]).with(&["timeout"]).body(any()),
        Target::Upstream(_, UpstreamPath::Health) => {
            let health = Operation::new(200, Some(reference_to("UpstreamHealth")), LIST);
            health.or(&[404]).with(&["size", "offset", "balancer_health"])
        }
        Target::Upstream(_, UpstreamPath::AllTargets) => {
            Operation::new(200, Some(reference_to("TargetList")), LIST).or(&[404]).with(&["size", "offset"])
        }
        Target::Upstream(_, UpstreamPath::SetHealth { .. }) => Operation::new(204, None, KEY).or(&[404]).body(any()),
        Target::Old(old) => of_old(old, method),
        Target::Collection(kind) => collection(kind, None, method),
        Target::Children(below) => collection(below.kind, Some(below.field), method).or(&[404]),
        Target::Entity(kind, _) => entity(kind, kind.key, method),
        Target::Child(below, _) => {
            let mut child = entity(below.kind, below.field, method);
            child.answers.retain(|(status, _)| *status != 404);
            child.or(&[404])
        }
        Target::Referenced(_, _, _, target) => {
            let mut one = entity(target, "", method);
            one.answers.retain(|(status, _)| *status != 404 && (method != "DELETE" || *status != 204));
            one.or(&[404])
        }
        Target::Members(kind, _, other) => members(kind, other, method),
        Target::Member(_, _, other, _) => match method {
            "GET" => Operation::new(200, Some(reference_to(&entities::name(other))), KEY).or(&[404]),
            _ => Operation::new(204, None, KEY).or(&[404, 405]),
        },
    }
}

/// An operation that is always refused.
fn never(refused: (&str, &[u8]), method: &str, body: Value) -> Operation {
    let mut operation = Operation::new(200, None, refused);
    operation.answers.remove(0);
    if matches!(method, "POST" | "PUT" | "PATCH") { operation.body(body) } else { operation }
}

/// The types of the body with a new entity of `kind`. `given` is a field that the path gives.
fn new_body(kind: &Kind, given: Option<&str>) -> Value {
    let name = entities::name(kind);
    let demanded = || (kind.record)().fields.iter().filter(|field| fields::is_demanded(field)).map(|field| field.name);
    let schema = match given.filter(|given| demanded().any(|name| name == *given)) {
        Some(given) => {
            let required: Vec<&str> = demanded().filter(|name| *name != given).collect();
            json!({"allOf": [reference_to(&format!("{name}Change")), {"type": "object", "required": required}]})
        }
        None => reference_to(&format!("New{name}")),
    };
    let mut json = json!({ "schema": schema });
    if let Some(example) = examples::entity(kind.name) {
        json["example"] = example;
    }
    with_forms(json, &format!("{name}Form"))
}

fn with_forms(json: Value, form: &str) -> Value {
    let form = json!({"schema": reference_to(form)});
    json!({JSON: json, FORMS[0]: form, FORMS[1]: form})
}

fn collection(kind: &Kind, field: Option<&str>, method: &str) -> Operation {
    let name = entities::name(kind);
    if method == "GET" {
        let list =
            Operation::new(200, Some(reference_to(&format!("{name}List"))), LIST).with(&["size", "offset", "tags"]);
        return if kind.name == "consumers" && field.is_none() { list.with(&["custom_id"]) } else { list };
    }
    Operation::new(201, Some(reference_to(&name)), WRITE).or(&[405, 409]).body(new_body(kind, field))
}

/// What is done to an entity; the path gives the field `given`.
fn entity(kind: &Kind, given: &str, method: &str) -> Operation {
    let name = entities::name(kind);
    let one = || Some(reference_to(&name));
    match method {
        "GET" if kind.name == "consumer_groups" && given == kind.key => group().or(&[404]),
        "GET" => Operation::new(200, one(), KEY).or(&[404]),
        "PUT" => Operation::new(200, one(), WRITE).or(&[405, 409]).body(new_body(kind, Some(given))),
        "PATCH" => {
            let change = json!({"schema": reference_to(&format!("{name}Change"))});
            let body = with_forms(change, &format!("{name}Form"));
            Operation::new(200, one(), WRITE).or(&[404, 405, 409]).body(body)
        }
        _ => Operation::new(204, None, WRITE).or(&[404, 405]),
    }
}

/// A consumer group with its consumers.
fn group() -> Operation {
    let consumers = json!({"type": "array", "items": reference_to("Consumer")});
    let properties = json!({"consumer_group": reference_to("ConsumerGroup"), "consumers": consumers});
    Operation::new(200, Some(object(properties, &["consumer_group"])), KEY).with(&["list_consumers"])
}

/// The consumers of a group, or the groups of a consumer.
fn members(kind: &Kind, other: &Kind, method: &str) -> Operation {
    let (one, many) = (entities::name(kind), entities::name(other));
    if method == "GET" {
        return Operation::new(200, Some(reference_to(&format!("{many}List"))), KEY).or(&[404]);
    }
    let properties = json!({
        kind.singular: reference_to(&one),
        other.name: {"type": "array", "items": reference_to(&many)},
    });
    let answer = object(properties, &[kind.singular, other.name]);
    let named = json!({"type": "string", "minLength": 1, "description": "The id or the name."});
    let body = json!({"schema": object(json!({ other.singular: named }), &[other.singular])});
    let content = json!({JSON: body, FORMS[0]: body, FORMS[1]: body});
    Operation::new(201, Some(answer), WRITE).or(&[404, 405, 409]).body(content)
}

/// The paths of Kong before 1.0.
fn of_old(old: &Old, method: &str) -> Operation {
    let shown = match old {
        Old::Apis | Old::Api(_) => "OldApi",
        _ => "OldPlugin",
    };
    let (new, form) = match old {
        Old::Apis | Old::Api(_) => ("NewApi", "ApiForm"),
        _ => ("NewOldPlugin", "PluginForm"),
    };
    let one = || Some(reference_to(shown));
    let collection = matches!(old, Old::Apis | Old::Plugins | Old::PluginsOfApi(_));
    let refused = ("OldRefused", WRITE.1);
    let body = |schema: &str| with_forms(json!({"schema": reference_to(schema)}), form);
    match method {
        "GET" if collection => {
            let list = Operation::new(200, Some(reference_to(&format!("{shown}List"))), LIST);
            list.or(&[404]).with(&["size", "offset"])
        }
        "GET" => Operation::new(200, one(), PLAIN).or(&[404]),
        "DELETE" => Operation::new(204, None, refused).or(&[404, 405]),
        "PATCH" => {
            let change = if shown == "OldApi" { "ApiChange" } else { "OldPluginChange" };
            Operation::new(200, one(), refused).or(&[404, 405, 409]).body(body(change))
        }
        // PUT without an id creates.
        "PUT" if collection => {
            let mut put = Operation::new(200, one(), refused);
            put.answers.push((
                201,
                json!({"description": "It is created.", "content": {JSON: {"schema": reference_to(shown)}}}),
            ));
            put.or(&[404, 405, 409]).body(body(new))
        }
        "PUT" => {
            let new = if shown == "OldApi" { new } else { "OldPluginChange" };
            Operation::new(200, one(), refused).or(&[404, 405, 409]).body(body(new))
        }
        _ => Operation::new(201, one(), refused).or(&[404, 405, 409]).body(body(new)),
    }
}
