//! `logphase schema`: JSON Schemas, held against files that the program takes and refuses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use logphase_config::diagnostic::SourceFile;
use logphase_config::diagnostic::codes::{self, EXAMPLES};
use logphase_config::document;
use serde_json::{Value, json};

use crate::service::Home;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

struct Schemas(BTreeMap<&'static str, Validator>);

impl Schemas {
    fn new() -> Self {
        let home = Home::new();
        Self(
            KINDS
                .map(|kind| {
                    let ended = home.run(&["schema", kind], b"");
                    assert_eq!(ended.code(), 0, "{}", ended.stderr);
                    let schema: Value = serde_json::from_str(&ended.stdout).unwrap();
                    jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{kind}: {error}"));
                    (kind, jsonschema::validator_for(&schema).unwrap())
                })
                .into(),
        )
    }

    /// What the schema `kind` says against `value`.
    fn errors(&self, kind: &str, value: &Value) -> Vec<String> {
        self.0[kind].iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }
}

/// The documents of a text, with references to variables as they are.
fn documents(name: &str, text: &str) -> Vec<Value> {
    let file = SourceFile::new(name, text);
    let documents = document::parse_all(&file, None);
    documents.roots.iter().map(document::Node::to_json).collect()
}

/// The kind of a document by its file and its contents; none for what no schema is for.
fn kind(file: &Path, document: &Value) -> Option<&'static str> {
    let name = file.file_name().unwrap().to_str().unwrap();
    match name {
        "logphase.yml" => Some("settings"),
        "tests.yml" => Some("tests"),
        _ if document.get("_format_version").is_some() => Some("kong"),
        _ if document.get("spec").is_some() || document.get("mesh").is_some() || document["type"] == "Mesh" => {
            Some("mesh")
        }
        _ => None,
    }
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
            all.push(path);
        }
    }
}

/// Scenario: every file of examples/ and packaging/, the clean fixture, the plugins of all conformance cases, and the right file of each
/// example of a diagnostic. Guarantees: the schema of its kind accepts each.
#[test]
fn accepts_what_the_program_takes() {
    let schemas = Schemas::new();
    let (mut wrong, mut seen) = (Vec::new(), BTreeMap::new());
    let mut judge = |name: String, kind: &'static str, value: &Value| {
        *seen.entry(kind).or_insert(0) += 1;
        wrong.extend(schemas.errors(kind, value).into_iter().map(|error| format!("{name}: {error}")));
    };
    let mut all = vec![root().join("tests/fixtures/clean.yml")];
    files(&root().join("examples"), &mut all);
    files(&root().join("packaging/deb"), &mut all);
    files(&root().join("packaging/container"), &mut all);
    for path in &all {
        let text = std::fs::read_to_string(path).unwrap();
        for document in documents("file.yml", &text) {
            if let Some(kind) = kind(path, &document) {
                judge(path.display().to_string(), kind, &document);
            }
        }
    }
    for entry in std::fs::read_dir(root().join("tests/conformance")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let Ok(case) = serde_json::from_str::<Value>(&text) else { continue };
        if let Some(plugins) = case.get("plugins") {
            judge(path.display().to_string(), "kong", &json!({"_format_version": "3.0", "plugins": plugins}));
        }
    }
    for example in EXAMPLES {
        for document in documents(example.file, example.right) {
            let found = kind(Path::new(example.file), &document);
            // Nothing in an empty document is judged.
            judge(example.code.to_owned(), found.unwrap_or_else(|| panic!("{}", example.code)), &document);
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(seen["kong"] > 100 && seen["settings"] > 8 && seen["tests"] > 5 && seen["mesh"] > 2, "{seen:?}");
}

/// Scenario: the wrong file of each example whose mistake a schema can say.
/// Guarantees: the schema of its kind refuses it.
#[test]
fn refuses_what_the_program_refuses() {
    let schemas = Schemas::new();
    let said = [
        codes::TYPE,
        codes::UNKNOWN_FIELD,
        codes::REQUIRED,
        codes::VALUE,
        codes::FORMAT_VERSION,
        codes::UNKNOWN_ENTITY,
        codes::UNKNOWN_SETTING,
        codes::SETTING,
        codes::TEST_SUBJECT,
    ];
    for example in EXAMPLES.iter().filter(|example| said.contains(&example.code)) {
        let kind = match example.file {
            "logphase.yml" => "settings",
            "tests.yml" => "tests",
            _ => "kong",
        };
        for document in documents(example.file, example.wrong) {
            assert!(!schemas.errors(kind, &document).is_empty(), "{}: {}", example.code, example.wrong);
        }
    }
}

/// Scenario: rows of documents with one mistake, and the same without it.
/// Guarantees: the program and the schema agree about each.
#[test]
fn agrees_with_the_program() {
    let schemas = Schemas::new();
    let kong = |plugin: &str| format!("_format_version: '3.0'\nplugins: [{plugin}]\n");
    let home = Home::new();
    let agree = |kind: &str, text: &str, accepted: bool| {
        let document = documents("file.yml", text).pop().unwrap();
        let errors = schemas.errors(kind, &document);
        assert_eq!(errors.is_empty(), accepted, "the schema on {text}: {errors:?}");
        let (name, command): (&str, &[&str]) = match kind {
            "settings" => ("logphase.yml", &["check", "kong.yml"]),
            "tests" => ("tests.yml", &["test", "tests.yml"]),
            _ => ("kong.yml", &["check", "kong.yml"]),
        };
        home.write("kong.yml", "_format_version: '3.0'\n");
        home.write("logphase.yml", "");
        home.write(name, text);
        let ended = home.run(command, b"");
        assert_eq!(ended.code() != 78, accepted, "the program on {text}: {}{}", ended.stdout, ended.stderr);
    };
    for (plugin, accepted) in [
        ("{name: file-log, config: {path: /a, reopen: true}}", true),
        ("{name: file-log, config: {path: /a, reopen: 1}}", false),
        ("{name: file-log, config: {path: ''}}", false),
        ("{name: file-log, config: {path: null}}", false),
        ("{name: file-log}", false),
        ("{name: tcp-log, config: {host: h, port: 1, queue: {max_entries: 5}}}", true),
        ("{name: tcp-log, config: {host: h, port: 1, queue: {max_entries: many}}}", false),
        ("{name: tcp-log, config: {host: h, port: 1, queue: {max_entry: 5}}}", false),
        ("{name: tcp-log, config: {host: h, port: 1, tls: null}}", true),
        ("{name: tcp-log, config: {host: h, port: 70000}}", false),
        ("{name: tcp-log, config: {host: h, port: 1, custom_fields_by_lua: {a: return 1}}}", true),
        ("{name: tcp-log, config: {host: h, port: 1, custom_fields_by_lua: {a: 1}}}", false),
        ("{name: http-log, config: {http_endpoint: 'http://h/', method: GET}}", false),
        ("{name: http-log, config: {http_endpoint: 'http://h/', method: PUT}}", true),
        (
            "{name: kafka-log, config: {bootstrap_servers: [{host: h, port: 1}], topic: t, producer_request_acks: 2}}",
            false,
        ),
        ("{name: kafka-log, config: {bootstrap_servers: [{host: h}], topic: t}}", false),
        ("{name: syslog}", true),
        ("{name: syslog, config: null}", true),
        ("{name: syslog, enabled: maybe}", false),
        ("{config: {path: /a}}", false),
        ("{name: pre-function, config: {log: ['return 1']}}", true),
        ("{name: pre-function, config: {log: 'return 1'}}", false),
        ("{name: rate-limiting, config: {anything: [1]}}", true),
        ("{name: file-log, config: {path: /a}, tags: [a, b]}", true),
        ("{name: file-log, config: {path: /a}, tag: a}", false),
    ] {
        agree("kong", &kong(plugin), accepted);
    }
    for (text, accepted) in [
        (
            "_format_version: '3.0'\nservices: [{name: s, routes: [{name: r, paths: [/a], plugins: [{name: syslog}]}]}]\n",
            true,
        ),
        ("_format_version: '3.0'\nservices: [{name: s, routes: [{name: r, path: [/a]}]}]\n", false),
        (
            "_format_version: '3.0'\nconsumers: [{username: a, keyauth_credentials: [{key: k}], plugins: [{name: syslog, config: {a: 1}}]}]\n",
            false,
        ),
        ("_format_version: '3.0'\nupstreams: [{name: u}]\n_info: {select_tags: [a]}\n", true),
        ("_format_version: '9.0'\n", false),
    ] {
        agree("kong", text, accepted);
    }
    for (text, accepted) in [
        ("workers: 2\nshutdown_timeout: 1m\nqueue: {max_memory: 1GiB, overflow: drop_oldest}\n", true),
        ("workers: 0\n", false),
        ("shutdown_timeout: soon\n", false),
        ("queue: {max_memory: lots}\n", false),
        ("inputs: {tcp: {listen: '127.0.0.1:1'}}\n", false),
        ("inputs: {https: {}}\n", false),
        ("log: {level: loud}\n", false),
        ("plugins: {audit: {queue: {durability: disk}}}\n", true),
        ("plugins: {audit: {queue: {durability: tape}}}\n", false),
    ] {
        agree("settings", text, accepted);
    }
    let test = |test: &str| format!("fields: {{a: return 1}}\ntransaction: {{}}\ntests: [{test}]\n");
    for (text, accepted) in [
        (test("{name: t, expect: {fields: {a: 1}, absent: [b]}}"), true),
        (test("{name: t, expect: {file-log: {fields: {a: 1}}}}"), true),
        (test("{name: t, expects: {fields: {a: 1}}}"), false),
        (test("{name: t, expect: {fields: {a: 1}, absent: b}}"), false),
        (test("{expect: {fields: {a: 1}}}"), false),
        ("fields: {a: return 1}\ntests: []\n".to_owned(), false),
    ] {
        agree("tests", &text, accepted);
    }
}

/// Scenario: resources of a mesh with a mistake each. Guarantees: they are refused; other kinds of resources are not judged.
#[test]
fn mesh_resources() {
    let schemas = Schemas::new();
    for (text, accepted) in [
        ("{type: Mesh, name: default}", true),
        ("{type: Mesh}", false),
        ("{type: TrafficLog, name: a, mesh: m, sources: [], conf: {}}", false),
        ("{type: MeshAccessLog, name: a, mesh: m, spec: {targetReff: {kind: Mesh}}}", false),
        ("{type: Dataplane, name: anything, whatever: 1}", true),
    ] {
        let document = documents("mesh.yml", text).pop().unwrap();
        assert_eq!(
            schemas.errors("mesh", &document).is_empty(),
            accepted,
            "{text}: {:?}",
            schemas.errors("mesh", &document)
        );
    }
}

const KINDS: [&str; 4] = ["kong", "settings", "tests", "mesh"];

/// Scenario: docs/schemas/, which the first lines of the examples name.
/// Guarantees: each file is what the program prints; `BLESS=1 cargo test --test main schema` writes them.
#[test]
fn schemas_of_the_documentation_are_printed_ones() {
    let home = Home::new();
    for kind in KINDS {
        let printed = home.run(&["schema", kind], b"").stdout;
        let path = root().join(format!("docs/schemas/{kind}.schema.json"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, printed).unwrap();
        } else {
            let there = std::fs::read_to_string(&path).unwrap();
            assert!(there == printed, "{} is not up to date: BLESS=1 cargo test --test main schema", path.display());
        }
    }
}

/// Scenario: the first line of every example, of the package's files and of the image's.
/// Guarantees: it names a schema that is there, of the file's kind, which accepts every document in the file.
#[test]
fn examples_name_their_schema() {
    let schemas = Schemas::new();
    let mut all = Vec::new();
    for folder in ["examples", "packaging/deb", "packaging/container"] {
        files(&root().join(folder), &mut all);
    }
    let mut count = 0;
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        let documents = documents("file.yml", &text);
        let kinds: Vec<&str> = documents.iter().filter_map(|document| kind(&path, document)).collect();
        // What `logphase forwarder` prints, what is Kong's own, and files of other programs.
        let others = ["forwarder.yml", "kong-gateway.yml"];
        if kinds.is_empty() || others.iter().any(|other| path.ends_with(other)) {
            continue;
        }
        let first = text.lines().next().unwrap().strip_prefix("# yaml-language-server: $schema=");
        let named = first.unwrap_or_else(|| panic!("{} names no schema", path.display()));
        let kind = kinds[0];
        match named.strip_prefix("/usr/share/logphase/") {
            Some(installed) => assert_eq!(installed, format!("{kind}.schema.json"), "{}", path.display()),
            None => {
                let schema = path.parent().unwrap().join(named).canonicalize().unwrap();
                assert_eq!(schema, root().join(format!("docs/schemas/{kind}.schema.json")), "{}", path.display());
            }
        }
        for document in &documents {
            assert_eq!(schemas.errors(kind, document), Vec::<String>::new(), "{}", path.display());
        }
        count += 1;
    }
    assert!(count > 40, "{count}");
}
