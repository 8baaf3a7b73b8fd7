//! Ingress, HTTPRoute and Service as routes and services, with the controller's names.

use std::collections::BTreeMap;

use super::{Converter, Object, list, text};
use crate::entity::EntityKind;
use logphase_config::document::{Node, NodeKind};

/// A service of Kong: the Kubernetes services behind it, by namespace and name.
struct Backend<'a> {
    node: &'a Node,
    host: String,
    services: Vec<(String, String)>,
}

/// The services of Kong by name.
type Backends<'a> = BTreeMap<String, Backend<'a>>;

/// Adds the routes and services of all objects, and what refers to plugins.
pub(super) fn convert<'a>(objects: &[Object<'a>], converter: &mut Converter<'a>) {
    let mut backends = Backends::new();
    for object in objects {
        match object.kind {
            "Ingress" => ingress(object, &mut backends, converter),
            "HTTPRoute" => http_route(object, &mut backends, converter),
            _ => {}
        }
    }
    for (name, backend) in &backends {
        let mut service = Node::empty_mapping_at(backend.node);
        service.set(&["name"], text(backend.node, name.as_str()));
        service.set(&["host"], text(backend.node, backend.host.as_str()));
        let behind = objects.iter().filter(|object| object.kind == "Service" && object.api == "v1");
        for object in behind.filter(|object| {
            backend.services.iter().any(|(namespace, name)| (&**namespace, &**name) == (object.namespace, object.name))
        }) {
            annotate(&mut service, object, OF_SERVICES);
            service.set(&["tags"], object.tags());
            converter.refer(object, EntityKind::Services, name);
        }
        converter.add(EntityKind::Services, service, format!("services.{name}"));
    }
}

/// How the text of an annotation becomes a field.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    Boolean,
    List,
    UpperList,
}

/// Annotations and the fields that they set.
const OF_ROUTES: &[(&str, &str, Form)] = &[
    ("protocols", "protocols", Form::List),
    ("methods", "methods", Form::UpperList),
    ("snis", "snis", Form::List),
    ("regex-priority", "regex_priority", Form::Number),
    ("strip-path", "strip_path", Form::Boolean),
    ("preserve-host", "preserve_host", Form::Boolean),
    ("https-redirect-status-code", "https_redirect_status_code", Form::Number),
    ("path-handling", "path_handling", Form::Text),
    ("request-buffering", "request_buffering", Form::Boolean),
    ("response-buffering", "response_buffering", Form::Boolean),
];

const OF_SERVICES: &[(&str, &str, Form)] = &[
    ("protocol", "protocol", Form::Text),
    ("path", "path", Form::Text),
    ("retries", "retries", Form::Number),
    ("connect-timeout", "connect_timeout", Form::Number),
    ("read-timeout", "read_timeout", Form::Number),
    ("write-timeout", "write_timeout", Form::Number),
];

/// Sets the fields of `entity` that annotations of `object` give.
fn annotate(entity: &mut Node, object: &Object<'_>, fields: &[(&str, &str, Form)]) {
    for (annotation, field, form) in fields {
        let Some(node) = object.annotation(annotation) else { continue };
        let given = node.as_str().unwrap_or_default().trim();
        let elements = object.annotated(annotation);
        let value = match form {
            Form::Text => Some(text(node, given)),
            Form::Number => given.parse().ok().map(|number| node.with_kind(NodeKind::Integer(number))),
            Form::Boolean => given.parse().ok().map(|value| node.with_kind(NodeKind::Bool(value))),
            Form::List => Some(list(node, elements.map(str::to_owned))),
            Form::UpperList => Some(list(node, elements.map(str::to_ascii_uppercase))),
        };
        if let Some(value) = value {
            entity.set(&[field], value);
        }
    }
    let annotations = object.node.get("metadata").and_then(|metadata| metadata.get("annotations")?.entries());
    for (key, value) in annotations.into_iter().flatten() {
        // `konghq.com/headers.NAME`: values of the header, with commas or another separator between them.
        let Some(header) = key.name.strip_prefix("konghq.com/headers.") else { continue };
        if fields.iter().any(|(_, field, _)| *field == "methods") {
            let separator = object.annotation("headers-separator").and_then(Node::as_str).unwrap_or(",");
            let values = value.as_str().unwrap_or_default().split(separator).map(|value| value.trim().to_owned());
            entity.set(&["headers", header], list(value, values));
        }
    }
}

/// A route of `object` to `service`, still without what it matches.
fn route(object: &Object<'_>, name: &str, service: &str) -> Node {
    let mut route = Node::empty_mapping_at(object.node);
    route.set(&["name"], text(object.node, name));
    route.set(&["service"], text(object.node, service));
    route.set(&["strip_path"], object.node.with_kind(NodeKind::Bool(false)));
    route.set(&["preserve_host"], object.node.with_kind(NodeKind::Bool(true)));
    route.set(&["tags"], object.tags());
    route
}

/// Finishes and adds a route.
fn add_route<'a>(object: &Object<'a>, name: &str, mut route: Node, hosts: Vec<String>, converter: &mut Converter<'a>) {
    let aliases = object.annotated("host-aliases").map(str::to_owned).filter(|alias| !hosts.contains(alias));
    let hosts: Vec<String> = hosts.iter().cloned().chain(aliases).collect();
    if !hosts.is_empty() {
        route.set(&["hosts"], list(object.node, hosts.into_iter()));
    }
    annotate(&mut route, object, OF_ROUTES);
    converter.refer(object, EntityKind::Routes, name);
    converter.add(EntityKind::Routes, route, object.label());
}

fn ingress<'a>(object: &Object<'a>, backends: &mut Backends<'a>, converter: &mut Converter<'a>) {
    let spec = |name: &str| object.node.get("spec").and_then(|spec| spec.get(name));
    // One route for each host, service and port, with all paths, in the order of the file.
    let mut routes: Vec<(String, String, String, Vec<String>)> = Vec::new();
    for rule in spec("rules").and_then(Node::items).into_iter().flatten() {
        let host = rule.get("host").and_then(Node::as_str).unwrap_or_default();
        let paths = rule.get("http").and_then(|http| http.get("paths")?.items());
        for path in paths.into_iter().flatten() {
            let Some((service, port)) = path.get("backend").and_then(ingress_backend) else { continue };
            let key = format!("{}.{}.{service}.{}.{port}", object.namespace, object.name, host.replace('*', "_"),);
            let kong_service = ingress_service(object, &service, &port, backends);
            let new = paths_of_ingress(path, object);
            match routes.iter_mut().find(|(name, ..)| *name == key) {
                Some((.., paths)) => paths.extend(new),
                None => routes.push((key, kong_service, host.to_owned(), new)),
            }
        }
    }
    if let Some((service, port)) = spec("defaultBackend").and_then(ingress_backend) {
        let kong_service = ingress_service(object, &service, &port, backends);
        let name = format!("{}.{}", object.namespace, object.name);
        routes.push((name, kong_service, String::new(), vec!["/".to_owned()]));
    }
    for (name, service, host, paths) in routes {
        let mut route = route(object, &name, &service);
        route.set(&["paths"], list(object.node, paths.into_iter()));
        let hosts = Some(host).filter(|host| !host.is_empty()).into_iter().collect();
        add_route(object, &name, route, hosts, converter);
    }
}

/// Name and port of the service of a backend, in the form of `networking.k8s.io/v1` or the older one.
fn ingress_backend(backend: &Node) -> Option<(String, String)> {
    let (name, port) = match backend.get("service") {
        Some(service) => {
            let port = service.get("port");
            (service.get("name")?, port.and_then(|port| port.get("number").or_else(|| port.get("name"))))
        }
        None => (backend.get("serviceName")?, backend.get("servicePort")),
    };
    Some((name.as_str()?.to_owned(), port_text(port)))
}

/// A port by number or name.
fn port_text(port: Option<&Node>) -> String {
    let number = port.and_then(Node::as_i64).map(|number| number.to_string());
    number.or_else(|| port?.as_str().map(str::to_owned)).unwrap_or_else(|| "implicitPort".to_owned())
}

fn ingress_service<'a>(object: &Object<'a>, name: &str, port: &str, backends: &mut Backends<'a>) -> String {
    let service = format!("{}.{name}.{port}", object.namespace);
    backends.entry(service.clone()).or_insert_with(|| Backend {
        node: object.node,
        host: format!("{name}.{}.{port}.svc", object.namespace),
        services: vec![(object.namespace.to_owned(), name.to_owned())],
    });
    service
}

fn paths_of_ingress(path: &Node, object: &Object<'_>) -> Vec<String> {
    let given = path.get("path").and_then(Node::as_str).unwrap_or("/");
    let mut flat = String::with_capacity(given.len());
    for c in given.chars() {
        if !(c == '/' && flat.ends_with('/')) {
            flat.push(c);
        }
    }
    if flat.is_empty() {
        flat.push('/');
    }
    let paths = match path.get("pathType").and_then(Node::as_str) {
        Some("Exact") => vec![format!("~/{}$", flat.trim_start_matches('/'))],
        Some("Prefix") => match flat.trim_matches('/') {
            "" => vec!["/".to_owned()],
            base => vec![format!("/{base}/"), format!("~/{base}$")],
        },
        _ => vec![flat],
    };
    let prefix = object.annotation("regex-prefix").and_then(Node::as_str).unwrap_or("/~");
    let regex = |path: String| match path.strip_prefix(prefix) {
        Some(rest) => format!("~{rest}"),
        None => path,
    };
    paths.into_iter().map(regex).collect()
}

fn http_route<'a>(object: &Object<'a>, backends: &mut Backends<'a>, converter: &mut Converter<'a>) {
    let spec = |name: &str| object.node.get("spec").and_then(|spec| spec.get(name)?.items()).unwrap_or_default();
    let hosts: Vec<String> = spec("hostnames").iter().filter_map(Node::as_str).map(str::to_owned).collect();
    let name = |rule: usize, at: usize| format!("httproute.{}.{}.{rule}.{at}", object.namespace, object.name);
    // Rules with the same backends share a service, which has the number of the first of them.
    let mut services: Vec<(String, String)> = Vec::new();
    // Matches of a service with the same filters, method, headers and query share a route.
    let mut routes: Vec<(String, String, Node)> = Vec::new();
    for (number, rule) in spec("rules").iter().enumerate() {
        let refs = sorted(rule.get("backendRefs"));
        let service = match services.iter().find(|(same, _)| *same == refs) {
            Some((_, service)) => service.clone(),
            None => {
                let service = format!("httproute.{}.{}.{number}", object.namespace, object.name);
                services.push((refs, service.clone()));
                let backend =
                    Backend { node: object.node, host: service.clone(), services: backend_refs(object, rule) };
                backends.insert(service.clone(), backend);
                service
            }
        };
        let matches = rule.get("matches").and_then(Node::items).unwrap_or_default();
        for (at, found) in matches.iter().enumerate() {
            let same = |part: &str| found.get(part).map(|node| node.to_json().to_string()).unwrap_or_default();
            let filters = sorted(rule.get("filters"));
            let key = format!("{service}\n{filters}\n{}\n{}\n{}", same("method"), same("headers"), same("queryParams"));
            let index = routes.iter().position(|(other, ..)| *other == key).unwrap_or_else(|| {
                let name = name(number, at);
                let mut route = route(object, &name, &service);
                conditions(&mut route, found);
                routes.push((key, name, route));
                routes.len() - 1
            });
            let (_, name, route) = &mut routes[index];
            add_paths(route, found);
            extensions(object, rule, name, converter);
        }
        if matches.is_empty() {
            let name = name(number, 0);
            let route = route(object, &name, &service);
            extensions(object, rule, &name, converter);
            routes.push((String::new(), name, route));
        }
    }
    for (_, name, route) in routes {
        add_route(object, &name, route, hosts.clone(), converter);
    }
}

/// A list as text that does not depend on its order.
fn sorted(list: Option<&Node>) -> String {
    let items = list.and_then(Node::items).unwrap_or_default();
    let mut texts: Vec<String> = items.iter().map(|item| item.to_json().to_string()).collect();
    texts.sort();
    texts.join(";")
}

fn backend_refs(object: &Object<'_>, rule: &Node) -> Vec<(String, String)> {
    let refs = rule.get("backendRefs").and_then(Node::items).unwrap_or_default().iter();
    let named = refs.filter_map(|backend| {
        let namespace = backend.get("namespace").and_then(Node::as_str).unwrap_or(object.namespace);
        Some((namespace.to_owned(), backend.get("name")?.as_str()?.to_owned()))
    });
    named.collect()
}

/// Method and headers of a match.
fn conditions(route: &mut Node, found: &Node) {
    if let Some(method) = found.get("method").filter(|method| method.as_str().is_some()) {
        route.set(&["methods"], method.with_kind(NodeKind::Sequence(vec![method.clone()])));
    }
    for header in found.get("headers").and_then(Node::items).into_iter().flatten() {
        let member = |name: &str| header.get(name).and_then(Node::as_str);
        let (Some(name), Some(value)) = (member("name"), member("value")) else { continue };
        let regex = if member("type") == Some("RegularExpression") { "~*" } else { "" };
        route.set(&["headers", name], list(header, std::iter::once(format!("{regex}{value}"))));
    }
}

fn add_paths(route: &mut Node, found: &Node) {
    let Some(path) = found.get("path") else { return };
    let value = path.get("value").and_then(Node::as_str).unwrap_or("/");
    let paths = match path.get("type").and_then(Node::as_str) {
        Some("Exact") => vec![format!("~{value}$")],
        Some("RegularExpression") => vec![format!("~{value}")],
        _ if value.ends_with('/') => vec![format!("~{value}$"), value.to_owned()],
        _ => vec![format!("~{value}$"), format!("{value}/")],
    };
    let more = paths.into_iter().map(|value| text(path, value));
    match route.get_mut("paths").map(|node| &mut node.kind) {
        Some(NodeKind::Sequence(items)) => items.extend(more),
        _ => route.set(&["paths"], path.with_kind(NodeKind::Sequence(more.collect()))),
    }
}

/// Plugins that a rule names in filters of the type ExtensionRef.
fn extensions<'a>(object: &Object<'a>, rule: &'a Node, route: &str, converter: &mut Converter<'a>) {
    for filter in rule.get("filters").and_then(Node::items).into_iter().flatten() {
        let Some(reference) = filter.get("extensionRef") else { continue };
        let member = |name: &str| reference.get(name).and_then(Node::as_str);
        if let (Some("KongPlugin"), Some(name)) = (member("kind"), member("name")) {
            converter.refer_to((object.namespace, name), reference, EntityKind::Routes, route);
        }
    }
}
