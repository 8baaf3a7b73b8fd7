use super::super::{ReadOptions, read};
use crate::entity::Configuration;
use logphase_config::diagnostic::{Diagnostic, SourceFile};

fn read_text(text: &str) -> (Configuration, Vec<Diagnostic>) {
    read(&[SourceFile::new("k8s.yml", text)], ReadOptions { select_tags: &[], env: &|_| None })
}

fn shorts(found: &[Diagnostic]) -> Vec<String> {
    found.iter().map(Diagnostic::short).collect()
}

/// Plugins with their scopes.
fn scopes(configuration: &Configuration) -> Vec<String> {
    let plugins = configuration.plugins.iter().filter(|plugin| plugin.enabled);
    plugins.map(|plugin| format!("{}: {}", plugin.definition.name, plugin.scope)).collect()
}

/// Routes with their services, hosts and paths.
fn routes(configuration: &Configuration) -> Vec<String> {
    let routes = configuration.routes.iter().map(|route| {
        let service = route.service.as_ref().map_or("-", |service| service.label());
        let hosts: Vec<_> = route.hosts.iter().map(ToString::to_string).collect();
        format!("{} -> {service} {hosts:?} {:?}", route.name.as_deref().unwrap_or("-"), route.paths)
    });
    routes.collect()
}

const SHOP: &str = r#"apiVersion: configuration.konghq.com/v1
kind: KongPlugin
metadata: {name: to-file, namespace: shop}
plugin: file-log
instance_name: orders
config:
  path: /tmp/x
  custom_fields_by_lua:
    a: return 1
---
apiVersion: configuration.konghq.com/v1
kind: KongClusterPlugin
metadata:
  name: everything
  labels: {global: "true"}
plugin: udp-log
config: {host: h, port: 1}
---
apiVersion: v1
kind: Service
metadata:
  name: orders
  namespace: shop
  annotations: {konghq.com/plugins: "to-file", konghq.com/protocol: https}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  annotations:
    konghq.com/plugins: by-cluster
    konghq.com/methods: get, post
    konghq.com/strip-path: "true"
    konghq.com/headers.x-a: "1,2"
spec:
  ingressClassName: kong
  rules:
  - host: "*.example.com"
    http:
      paths:
      - {path: /a//b, pathType: Prefix, backend: {service: {name: orders, port: {number: 80}}}}
      - {path: /exact, pathType: Exact, backend: {service: {name: orders, port: {number: 80}}}}
      - {path: /other, backend: {service: {name: other, port: {name: http}}}}
  - http:
      paths:
      - {path: '/~/v\d+', pathType: ImplementationSpecific, backend: {service: {name: orders, port: {number: 80}}}}
  defaultBackend: {service: {name: other, port: {name: http}}}
---
apiVersion: configuration.konghq.com/v1
kind: KongClusterPlugin
metadata: {name: by-cluster}
plugin: tcp-log
config: {host: h, port: 1}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop}
"#;

/// Scenario: plugins on a service, on an ingress and global, and what does not concern the log phase.
/// Guarantees: routes and services have the controller's names and conditions; plugins have the scopes of who names them;
/// instance names are the controller's; annotations are fields; what is not needed is listed once.
#[test]
fn an_ingress_becomes_routes_and_services() {
    let (configuration, found) = read_text(SHOP);
    assert_eq!(shorts(&found), ["k8s.yml:58:7: note[K0212]: not used: Deployment shop/orders"]);
    insta::assert_debug_snapshot!(routes(&configuration), @r#"
    [
        "shop.web.orders._.example.com.80 -> shop.orders.80 [\"*.example.com\"] [Prefix(\"/a/b/\"), Regex(\"/a/b$\"), Regex(\"/exact$\")]",
        "shop.web.other._.example.com.http -> shop.other.http [\"*.example.com\"] [Prefix(\"/other\")]",
        "shop.web.orders..80 -> shop.orders.80 [] [Regex(\"/v\\\\d+\")]",
        "shop.web -> shop.other.http [] [Prefix(\"/\")]",
    ]
    "#);
    insta::assert_debug_snapshot!(scopes(&configuration), @r#"
    [
        "file-log: service `shop.orders.80`",
        "udp-log: global",
        "tcp-log: route `shop.web.orders._.example.com.80`",
        "tcp-log: route `shop.web.other._.example.com.http`",
        "tcp-log: route `shop.web.orders..80`",
        "tcp-log: route `shop.web`",
    ]
    "#);
    // sha256("_service-shop.orders.80")
    let instance = configuration.plugins[0].instance_name.as_deref().unwrap_or_default();
    assert!(instance.starts_with("orders-") && instance.len() == "orders-".len() + 9, "{instance}");
    let route = &configuration.routes[0];
    assert_eq!(
        (&route.methods, route.strip_path, route.preserve_host),
        (&vec!["GET".into(), "POST".into()], true, true)
    );
    assert_eq!(route.headers.len(), 1);
    let tags: Vec<_> = route.tags.iter().collect();
    let expected = ["k8s-name:web", "k8s-namespace:shop", "k8s-kind:Ingress", "k8s-group:networking.k8s.io"];
    assert_eq!(tags, [&expected[..], &["k8s-version:v1"]].concat());
    let service = configuration.services.iter().find(|service| service.name.as_deref() == Some("shop.orders.80"));
    let service = service.expect("the service of the ingress");
    assert_eq!((service.protocol.name(), service.host.as_deref()), ("https", Some("orders.shop.80.svc")));
    // The place of a snippet is that in the file.
    let line =
        configuration.plugins[0].fields[0].source.line_origin(1).place().map(logphase_config::diagnostic::Place::line);
    assert_eq!(line, Some(9));
}

/// Scenario: rules of an HTTPRoute with equal and with different backends, methods and headers, and a rule that names a plugin.
/// Guarantees: routes and services are grouped and named as by the controller.
#[test]
fn an_http_route_becomes_routes_and_services() {
    let text = r#"apiVersion: v1
kind: List
items:
- apiVersion: gateway.networking.k8s.io/v1
  kind: HTTPRoute
  metadata: {name: api, namespace: shop, annotations: {konghq.com/plugins: 'other:log'}}
  spec:
    hostnames: [api.example.com]
    rules:
    - matches:
      - {path: {type: PathPrefix, value: /a}}
      - {path: {type: Exact, value: /b}}
      - {path: {type: RegularExpression, value: /c.*}, method: POST}
      backendRefs: [{name: one, port: 80}]
    - matches: [{headers: [{name: x-a, value: v.*, type: RegularExpression}]}]
      filters: [{type: ExtensionRef, extensionRef: {group: configuration.konghq.com, kind: KongPlugin, name: own}}]
      backendRefs: [{name: two, port: 80}]
    - backendRefs: [{name: one, port: 80}]
- {apiVersion: v1, kind: Service, metadata: {name: one, namespace: shop, annotations: {konghq.com/plugins: own}}}
- {apiVersion: configuration.konghq.com/v1, kind: KongPlugin, metadata: {name: own, namespace: shop}, plugin: syslog}
- {apiVersion: configuration.konghq.com/v1, kind: KongPlugin, metadata: {name: log, namespace: other}, plugin: loggly, config: {key: k}}
"#;
    let (configuration, found) = read_text(text);
    assert_eq!(shorts(&found), [""; 0]);
    insta::assert_debug_snapshot!(routes(&configuration), @r#"
    [
        "httproute.shop.api.0.0 -> httproute.shop.api.0 [\"api.example.com\"] [Regex(\"/a$\"), Prefix(\"/a/\"), Regex(\"/b$\")]",
        "httproute.shop.api.0.2 -> httproute.shop.api.0 [\"api.example.com\"] [Regex(\"/c.*\")]",
        "httproute.shop.api.1.0 -> httproute.shop.api.1 [\"api.example.com\"] []",
        "httproute.shop.api.2.0 -> httproute.shop.api.0 [\"api.example.com\"] []",
    ]
    "#);
    insta::assert_debug_snapshot!(scopes(&configuration), @r#"
    [
        "syslog: service `httproute.shop.api.0`",
        "syslog: route `httproute.shop.api.1.0`",
        "loggly: route `httproute.shop.api.0.0`",
        "loggly: route `httproute.shop.api.0.2`",
        "loggly: route `httproute.shop.api.1.0`",
        "loggly: route `httproute.shop.api.2.0`",
    ]
    "#);
    assert_eq!(configuration.routes[1].methods, ["POST"]);
}

/// Scenario: one plugin that a consumer and a route name, one that a group names, one that only a consumer names.
/// Guarantees: the first runs for both together; consumers and groups are those of the objects.
#[test]
fn consumers_and_routes_combine() {
    let plugin = |name: &str| {
        format!(
            "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\nmetadata: {{name: {name}}}\nplugin: file-log\nconfig: {{path: /tmp/{name}}}\n---\n"
        )
    };
    let text = format!(
        "{}{}{}apiVersion: configuration.konghq.com/v1\nkind: KongConsumer\nmetadata: {{name: ann, annotations: {{konghq.com/plugins: 'both, mine'}}}}\nusername: ann\nconsumerGroups: [gold]\n---\napiVersion: configuration.konghq.com/v1beta1\nkind: KongConsumerGroup\nmetadata: {{name: gold, annotations: {{konghq.com/plugins: ours}}}}\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i, annotations: {{konghq.com/plugins: both}}}}\nspec: {{rules: [{{http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: s, port: {{number: 1}}}}}}}}]}}}}]}}\n",
        plugin("both"),
        plugin("mine"),
        plugin("ours")
    );
    let (configuration, found) = read_text(&text);
    assert_eq!(shorts(&found), [""; 0]);
    assert_eq!(
        scopes(&configuration),
        [
            "file-log: route `default.i.s..1`, consumer `ann`",
            "file-log: consumer `ann`",
            "file-log: consumer group `gold`"
        ]
    );
    assert_eq!(configuration.groups_of("ann"), ["gold"]);
}

/// Scenario: configurations of plugins in Secrets: whole ones as base64 and as text, JSON and YAML, and patches at every kind
/// of place; then Secrets, keys and values that are missing or wrong.
/// Guarantees: the values are those of the Secrets; each mistake is an error that does not show the Secret.
#[test]
fn configurations_come_from_secrets() {
    let read_plugin = |fields: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata:\n  json: eyJwYXRoIjogIi90bXAvc2VjcmV0In0=\nstringData:\n  yaml: 'path: /tmp/yaml'\n  text: '\"/tmp/patched\"'\n  list: '[{{\"cookie\": \"hidden-value\"}}]'\n  bad: 'hidden-value: ['\n---\n{{apiVersion: configuration.konghq.com/v1, kind: KongClusterPlugin, metadata: {{name: p, namespace: default, labels: {{global: 'true'}}}}, plugin: file-log, {fields}}}\n"
        );
        read_text(&text)
    };
    let key = |key: &str| format!("secretKeyRef: {{name: s, namespace: default, key: {key}}}");
    let patch = |path: &str, name: &str| format!("configPatches: [{{path: '{path}', valueFrom: {{{}}}}}]", key(name));
    for (fields, path) in [
        (format!("configFrom: {{{}}}", key("json")), "/tmp/secret"),
        (format!("configFrom: {{{}}}", key("yaml")), "/tmp/yaml"),
        (format!("config: {{path: /tmp/x}}, {}", patch("/path", "text")), "/tmp/patched"),
        (patch("/path", "text"), "/tmp/patched"),
        (patch("", "json"), "/tmp/secret"),
        (format!("config: {{path: /tmp/x}}, {}", patch("/redact", "list")), "/tmp/x"),
    ] {
        let (configuration, found) = read_plugin(&fields);
        assert_eq!(shorts(&found), [""; 0], "{fields}");
        assert_eq!(configuration.plugins[0].config["path"], path, "{fields}");
    }
    for (fields, error) in [
        (format!("configFrom: {{{}}}", key("none")), "has no key `none` with text"),
        (format!("configFrom: {{{}}}", key("bad")), "is neither JSON nor YAML"),
        (patch("/path", "bad"), "is not JSON"),
        (patch("path", "text"), "does not begin with a slash"),
        (format!("config: {{path: x}}, {}", patch("/path/a", "text")), "would be below a string"),
        ("configFrom: {secretKeyRef: {name: other, key: a}}".to_owned(), "there is no Secret `other`"),
        ("configFrom: {secretKeyRef: {name: s}}".to_owned(), "without `name` or `key`"),
        (format!("config: {{path: /tmp/x}}, configFrom: {{{}}}", key("json")), "both `config` and `configFrom`"),
        ("config: {path: /tmp/x}, confg: 1".to_owned(), "unknown field `confg`"),
    ] {
        let (_, found) = read_plugin(&fields);
        let shown = logphase_config::diagnostic::render_all(&found, logphase_config::diagnostic::Format::Pretty, false);
        assert!(found.iter().any(Diagnostic::is_error) && shown.contains(error), "{fields}: {shown}");
        assert!(!shown.contains("hidden-value"), "{shown}");
    }
}

/// Scenario: a KongPlugin that nothing names, with a mistake in its Lua or fields; a name without a KongPlugin; a file of Kong
/// beside objects of Kubernetes, and two documents of Kong in one file.
/// Guarantees: warnings say what is missing, and the plugin is judged although it does not run; files can be mixed; two
/// documents of Kong are an error.
#[test]
fn what_refers_to_nothing_is_told() {
    let lonely = "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\nmetadata: {name: p}\nplugin: file-log\nconfig: {pth: /tmp/x}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\napiVersion: configuration.konghq.com/v1\nkind: KongConsumer\nmetadata: {name: c, annotations: {konghq.com/plugins: q}}\nusername: c\n";
    let (configuration, found) = read_text(lonely);
    let found = shorts(&found);
    assert!(found.iter().any(|line| line.contains("KongPlugin default/p runs for nothing")), "{found:?}");
    assert!(found.iter().any(|line| line.contains("no KongPlugin `q` in the namespace `default`")), "{found:?}");
    assert!(found.iter().any(|line| line.contains("unknown field `pth`")), "{found:?}");
    assert!(!configuration.plugins[0].enabled);
    let mixed = format!("_format_version: '3.0'\nplugins: [{{name: syslog}}]\n---\n{SHOP}");
    assert_eq!(read_text(&mixed).0.plugins.len(), 7);
    let (_, found) = read_text("_format_version: '3.0'\n---\n_format_version: '3.0'\n");
    assert!(shorts(&found)[0].contains("error[K0006]: a second document in the same file"), "{found:?}");
    let (_, found) = read_text("---\n_format_version: '3.0'\n---\n...\n");
    assert_eq!(shorts(&found), [""; 0]);
}

proptest::proptest! {
    /// Scenario: objects with words of the format in any order.
    /// Guarantees: no panic.
    #[test]
    fn never_panics(text in "(---\n|apiVersion: v1\n|kind: (KongPlugin|KongClusterPlugin|Ingress|HTTPRoute|Secret|Service|List|KongConsumer)\n|metadata: \\{name: (a|b), annotations: \\{konghq.com/plugins: 'a,b:a'\\}\\}\n|plugin: file-log\n|spec:\n|  rules:\n|  - (matches|http|host|filters|backendRefs): (\\[\\{path: \\{value: /\\}\\}\\]|\\{paths: \\[\\{path: /x, backend: \\{service: \\{name: s\\}\\}\\}\\]\\}|1)\n|configFrom: \\{secretKeyRef: \\{name: a, key: k\\}\\}\n|configPatches: \\[\\{path: (/a/0|/-|''), valueFrom: \\{secretKeyRef: \\{name: a, key: k\\}\\}\\}\\]\n|stringData: \\{k: '(1|\\{\"a\": \\[\\]\\})'\\}\n|items: \\[\\{apiVersion: v1, kind: X\\}\\]\n){0,25}") {
        read_text(&text);
    }
}
