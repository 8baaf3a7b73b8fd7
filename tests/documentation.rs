//! What README.md, CONTRIBUTING.md and docs/ name exists in the program: commands and their options, exit codes, settings,
//! variables, defaults, addresses, metrics, codes of diagnostics, files; and every link leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use logphase::api::families;
use logphase::plugin::definitions;
use logphase::settings::variables;
use logphase_config::diagnostic::{SourceFile, codes};
use logphase_config::document;
use logphase_config::schema::{Record, Type};
use regex::Regex;

/// A page: its path in the project and its lines, each with whether it is in a block of code.
struct Page {
    path: String,
    lines: Vec<(String, bool)>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn page(path: String) -> Page {
    let mut code = false;
    let text = read(&path);
    let lines = text.lines().map(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        (line.to_owned(), code || fence)
    });
    Page { lines: lines.collect(), path }
}

fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    for folder in ["docs", "docs/plugins"] {
        let docs = std::fs::read_dir(root().join(folder)).expect("it is part of the project");
        let names = docs.map(|entry| entry.expect("it can be read").file_name().into_string().expect("it is ASCII"));
        paths.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    paths.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(str::to_owned));
    paths.sort();
    paths.into_iter().map(page).collect()
}

/// What the program knows.
struct Known {
    /// The options of each command, by its words: `queue show`.
    options: BTreeMap<String, BTreeSet<String>>,
    /// The text of `logphase --help`.
    help: String,
    /// The default of each setting, as in `examples/logphase.yml`.
    defaults: BTreeMap<String, String>,
    variables: BTreeSet<String>,
    metrics: BTreeSet<String>,
    /// The names of plugins' fields, with the path below `config`.
    fields: BTreeSet<String>,
    /// The text of all sources, for names of files.
    sources: String,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let file = SourceFile::new("logphase.yml", read("examples/logphase.yml"));
    let root = document::parse(&file, None).0.expect("it is valid");
    let shown = |path: &str| {
        let value = path.split('.').try_fold(&root, |node, name| node.get(name));
        let value = value.map(document::Node::to_json);
        value.map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let mut fields = BTreeSet::new();
    definitions().iter().for_each(|definition| paths(definition.schema, "", &mut fields));
    let (options, help) = options();
    Known {
        options,
        help,
        defaults: variables().into_iter().map(|(_, path, _)| (path.clone(), shown(&path))).collect(),
        variables: variables().into_iter().map(|(variable, ..)| variable).collect(),
        metrics: families().map(|family| family.name.to_owned()).collect(),
        fields,
        sources: ["src", "crates"].iter().map(|folder| sources(&self::root().join(folder))).collect(),
    }
});

fn paths(record: &Record, above: &str, all: &mut BTreeSet<String>) {
    for field in record.fields {
        let path = if above.is_empty() { field.name.to_owned() } else { format!("{above}.{}", field.name) };
        if let Type::Record(inner) = field.ty {
            paths(inner, &path, all);
        }
        all.insert(path);
    }
}

/// The text of all sources below `folder`.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("it is part of the project") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("sources are UTF-8"));
        }
    }
    text
}

fn help(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logphase"));
    let output = command.args(words).arg("--help").output().expect("the program runs");
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).expect("it is UTF-8")
}

/// The commands that `text` lists, as clap prints them.
fn commands(text: &str) -> Vec<String> {
    let list = text.split("Commands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    // Deeper lines continue the description above them.
    let rows = list.lines().filter_map(|line| line.strip_prefix("  ").filter(|row| !row.starts_with(' ')));
    let names = rows.filter_map(|row| row.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn options() -> (BTreeMap<String, BTreeSet<String>>, String) {
    let option = Regex::new(r"(?m)^\s+(?:-[a-z], )?(--[a-z-]+)|^\s+(-[a-z]), ").expect("it is valid");
    let named = |text: &str| -> BTreeSet<String> {
        let found = option.captures_iter(text);
        let mut all: BTreeSet<String> =
            found.filter_map(|found| found.get(1).or(found.get(2))).map(|name| name.as_str().to_owned()).collect();
        all.extend(["--help".to_owned(), "-h".to_owned()]);
        if text.contains("-y, --yes") {
            all.insert("-y".to_owned());
        }
        all
    };
    let top = help(&[]);
    let mut all = BTreeMap::new();
    for command in commands(&top) {
        let text = help(&[&command]);
        for inner in commands(&text) {
            all.insert(format!("{command} {inner}"), named(&help(&[&command, &inner])));
        }
        all.insert(command, named(&text));
    }
    assert!(all.len() > 12, "{:?}", all.keys());
    (all, top)
}

/// One kind of name in the documentation.
struct Rule {
    /// What it is, for messages.
    what: &'static str,
    /// Finds the names: the first group that matches.
    find: &'static str,
    /// Whether blocks of code are read, and whether the rest is.
    within: (bool, bool),
    /// How many names there are at the least, so that a rule that finds none is noticed.
    least: usize,
    /// Why the name does not exist.
    wrong: fn(&str) -> Option<String>,
}

/// Variables that are no settings: the file of settings, the files of the configuration, failpoints of tests, Kong's in an
/// example, and those that Kubernetes sets.
const OTHER_VARIABLES: &[&str] = &[
    "LOGPHASE_SETTINGS",
    "LOGPHASE_CONFIG",
    "LOGPHASE_FAILPOINTS",
    "LOGPHASE_AUTHORIZATION",
    "LOGPHASE_PORT",
    "LOGPHASE_SERVICE_HOST",
    "LOGPHASE_SERVICE_PORT",
];

/// Files that are in no checkout: of the walk through a new plugin, and what fuzzing writes; and one that is named beside its
/// folder.
const OTHER_FILES: &[&str] = &[
    "src/plugin/redis_log.rs",
    "src/sink/redis.rs",
    "examples/redis-log/kong.yml",
    "fuzz/artifacts/",
    "tests/operators.rs",
];

/// Paths that begin as settings do: members of `/status`, and an option of Kafka's client.
const OTHER_PATHS: &[&str] =
    &["inputs.http.asked", "inputs.kafka.consumer", "inputs.kafka.consumer.last_error", "queue.buffering.max.messages"];

/// Names that begin as metrics do and are libraries of the project.
const LIBRARIES: &[&str] = &["config", "io", "kafka", "net", "protocol", "queue", "regex", "script"];

const RULES: &[Rule] = &[
    Rule {
        what: "code of a diagnostic",
        find: r"\b(K[0-9]{4})\b",
        within: (true, true),
        least: 10,
        wrong: |code| codes::explain(code).is_none().then(|| "no code".to_owned()),
    },
    Rule {
        what: "variable",
        find: r"\b(LOGPHASE_[A-Z0-9_]*[A-Z0-9])\b",
        within: (true, true),
        least: 100,
        wrong: |name| {
            let known = KNOWN.variables.contains(name) || OTHER_VARIABLES.contains(&name);
            (!known).then(|| "no setting has it".to_owned())
        },
    },
    Rule {
        what: "metric",
        find: r"\b(logphase_[a-z0-9_]*[a-z0-9])\b",
        within: (true, true),
        least: 50,
        wrong: |name| {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let known = KNOWN.metrics.contains(name) || KNOWN.metrics.contains(base);
            (!known && !LIBRARIES.iter().any(|library| name == format!("logphase_{library}")))
                .then(|| "no metric".to_owned())
        },
    },
    Rule {
        what: "setting",
        find: r"`([a-z_]+(?:\.[a-z_]+)+)(?:: [^`]*)?`",
        within: (false, true),
        least: 100,
        wrong: setting,
    },
    Rule {
        what: "exit code",
        find: r"(?i)exit(?:s with| code(?:s? | of | is | would be ))[^.|;0-9]{0,20}\b([0-9]+)\b",
        within: (true, true),
        least: 6,
        wrong: |code| {
            let row = format!("\n  {code:<3} ");
            (!KNOWN.help.contains(&row)).then(|| "`logphase --help` does not have it".to_owned())
        },
    },
    Rule {
        what: "default address",
        find: r"(?:by default,? `?|defaults? to `?|default:? `?)((?:127\.0\.0\.1|0\.0\.0\.0|localhost|\[::1\]):[0-9]+)",
        within: (false, true),
        least: 1,
        wrong: |address| {
            let known = KNOWN.defaults.values().any(|default| default.contains(address));
            (!known).then(|| "no setting has this default".to_owned())
        },
    },
    Rule {
        what: "address of the status listener",
        find: r"(127\.0\.0\.1:[0-9]+)/(?:metrics|status)",
        within: (true, true),
        least: 1,
        wrong: |address| {
            let default = &KNOWN.defaults["status.listen"];
            (!default.contains(address)).then(|| format!("it listens on {default}"))
        },
    },
    Rule {
        what: "file in the data directory",
        find: r"`?data_dir/([a-zA-Z0-9_./-]+)",
        within: (true, true),
        least: 6,
        wrong: |path| {
            let names = path.split('/').filter(|name| !name.is_empty() && !name.contains("ID"));
            let mut names = names.filter(|name| !name.trim_end_matches(".seg").chars().all(|c| c.is_ascii_digit()));
            names
                .find(|name| !KNOWN.sources.contains(&format!("\"{name}\"")))
                .map(|name| format!("nothing writes {name}"))
        },
    },
    Rule {
        what: "source file",
        find: r"`((?:src|crates|tests|lua|sandbox|examples|observability|docs|benches|fuzz)/[A-Za-z0-9_./-]+)`",
        within: (false, true),
        least: 50,
        wrong: |path| {
            let place = root().join(path);
            let there = place.exists() || place.with_extension("rs").exists() || place.join("mod.rs").exists();
            (!there && !OTHER_FILES.contains(&path)).then(|| "no such file".to_owned())
        },
    },
    Rule {
        what: "target of make",
        find: r"`?\bmake ([a-z][a-z-]*)`",
        within: (false, true),
        least: 10,
        wrong: |target| (!read("Makefile").contains(&format!("\n{target}:"))).then(|| "no such target".to_owned()),
    },
];

/// Settings and fields of plugins by their paths. A path is judged if its first part is a section of the settings, or a record
/// of a plugin; others are members of transactions and names in Lua.
fn setting(path: &str) -> Option<String> {
    let first = path.split('.').next().unwrap_or_default();
    let settings = || KNOWN.defaults.keys();
    let is_section = settings().any(|known| known.starts_with(&format!("{first}.")));
    // The names below these two are people's own.
    if !is_section || ["plugins", "mappings"].contains(&first) || OTHER_PATHS.contains(&path) {
        return None;
    }
    let known = settings().any(|known| known == path || known.starts_with(&format!("{path}.")));
    (!known && !KNOWN.fields.contains(path)).then(|| "neither a setting nor a field of a plugin".to_owned())
}

/// Scenario: every name of each kind in the documentation.
/// Guarantees: the program has it.
#[test]
fn names_exist() {
    let pages = pages();
    let mut wrong = Vec::new();
    for rule in RULES {
        let find = Regex::new(rule.find).expect("it is valid");
        let mut found = 0;
        for page in &pages {
            for (number, (line, code)) in page.lines.iter().enumerate() {
                if !(if *code { rule.within.0 } else { rule.within.1 }) {
                    continue;
                }
                for name in find.captures_iter(line).filter_map(|found| found.get(1)) {
                    found += 1;
                    if let Some(why) = (rule.wrong)(name.as_str()) {
                        wrong.push(format!("{}:{}: {} `{}`: {why}", page.path, number + 1, rule.what, name.as_str()));
                    }
                }
            }
        }
        if found < rule.least {
            wrong.push(format!("only {found} of {}: the rule does not find them", rule.what));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Scenario: every call of the program, in blocks of code and in the running text.
/// Guarantees: the command exists, and so does each of its options.
#[test]
fn commands_and_options_exist() {
    // In a block, at the start of a command, also after variables.
    let call =
        Regex::new(r"(?:^\s*|[|;&]\s*|[A-Z_]+=\S*\s+|/)logphase ([a-z]+)((?: [^`|>;&#]*)?)").expect("it is valid");
    let option = Regex::new(r"(?:^|\s)(--?[a-z][a-z-]*)").expect("it is valid");
    let quoted = Regex::new(r"'[^']*'").expect("it is valid");
    let span = Regex::new(r"`([^`]+)`").expect("it is valid");
    let (mut wrong, mut calls, mut options) = (Vec::new(), 0, 0);
    for page in pages() {
        for (number, (line, code)) in page.lines.iter().enumerate() {
            let line = line.split(" #").next().unwrap_or_default();
            let texts: Vec<&str> = match code {
                true if line.trim_start().starts_with('#') => continue,
                true => vec![line],
                false => span.captures_iter(line).filter_map(|found| Some(found.get(1)?.as_str())).collect(),
            };
            let texts: Vec<_> = texts.into_iter().map(|text| quoted.replace_all(text, "''").into_owned()).collect();
            for found in texts.iter().flat_map(|text| call.captures_iter(text)) {
                let (command, rest) = (&found[1], &found[2]);
                let inner = format!("{command} {}", rest.split_whitespace().next().unwrap_or_default());
                let place = format!("{}:{}", page.path, number + 1);
                let has_inner = KNOWN.options.keys().any(|known| known.starts_with(&format!("{command} ")));
                let names_inner =
                    has_inner && inner.ends_with(|c: char| c.is_ascii_lowercase()) && !inner.contains(" -");
                let known = KNOWN.options.get(&inner);
                let Some(known) = known.or_else(|| KNOWN.options.get(command).filter(|_| !names_inner)) else {
                    wrong.push(format!("{place}: no command `{inner}`"));
                    continue;
                };
                calls += 1;
                for name in option.captures_iter(rest).filter_map(|found| found.get(1)) {
                    options += 1;
                    if !known.contains(name.as_str()) {
                        wrong.push(format!("{place}: `logphase {command}` has no {}", name.as_str()));
                    }
                }
            }
        }
    }
    assert!(calls > 60 && options > 30, "{calls} calls, {options} options");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Scenario: every default of a setting that the running text gives beside the setting's name, as "`name` (default 5)", "`name`,
/// by default `x`" and the like.
/// Guarantees: it is the default.
#[test]
fn defaults_are_told_right() {
    let told = Regex::new(r"`([a-z_.]+)`(?:, | is | | \()(?:by default|default|defaults to|the default is):? (?:`([^`]+)`|([0-9][0-9.,]*(?: [kKMG]i?B| ms| s| seconds| minutes)?))")
        .expect("it is valid");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for (number, (line, _)) in page.lines.iter().enumerate().filter(|(_, (_, code))| !code) {
            for found in told.captures_iter(line) {
                let Some(default) = KNOWN.defaults.get(&found[1]) else { continue };
                seen += 1;
                let value = found.get(2).or(found.get(3)).map_or("", |value| value.as_str());
                let value = value.trim_end_matches(['.', ',']).replace([' ', ','], "").replace("seconds", "s");
                if value != *default && format!("[\"{value}\"]") != *default {
                    wrong.push(format!(
                        "{}:{}: `{}` is {default} by default, not {value}",
                        page.path,
                        number + 1,
                        &found[1]
                    ));
                }
            }
        }
    }
    assert!(seen >= 1, "no default is told");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)").expect("it is valid");
    let text = link.replace_all(heading.trim(), "$1").to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Scenario: every link between the pages, and to files and folders of the project.
/// Guarantees: the file and the heading exist.
#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let anchors: BTreeMap<&str, BTreeSet<String>> = pages
        .iter()
        .map(|page| {
            let headings = page.lines.iter().filter(|(line, code)| line.starts_with('#') && !code);
            (page.path.as_str(), headings.map(|(line, _)| anchor(line.trim_start_matches('#'))).collect())
        })
        .collect();
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("it is valid");
    let (mut links, mut wrong) = (0, Vec::new());
    for page in &pages {
        let folder = Path::new(&page.path).parent().expect("it is a file");
        for (number, (line, _)) in page.lines.iter().enumerate().filter(|(_, (_, code))| !code) {
            for target in link.captures_iter(line).filter_map(|found| Some(found.get(1)?.as_str())) {
                if target.contains("://") {
                    continue;
                }
                links += 1;
                let (path, heading) = target.split_once('#').map_or((target, None), |(path, name)| (path, Some(name)));
                let place = if path.is_empty() { PathBuf::from(&page.path) } else { folder.join(path) };
                let name = std::path::absolute(root().join(&place)).expect("it is a path");
                let name = name.canonicalize().ok();
                let name = name.and_then(|name| Some(name.strip_prefix(root()).ok()?.to_str()?.to_owned()));
                let there = name.is_some_and(|name| {
                    heading.is_none_or(|heading| anchors.get(name.as_str()).is_some_and(|all| all.contains(heading)))
                });
                if !there {
                    wrong.push(format!("{}:{}: {target}", page.path, number + 1));
                }
            }
        }
    }
    assert!(links > 100, "{links}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Scenario: README.md's first table of exit codes, the unit of systemd and `logphase --help`.
/// Guarantees: the table has every code that the program knows; the unit gives up exactly after those that no restart helps.
#[test]
fn exit_codes_are_whole() {
    let row = Regex::new(r"(?m)^  ([0-9]+)\s").expect("it is valid");
    let known: Vec<&str> = row.captures_iter(&KNOWN.help).filter_map(|found| Some(found.get(1)?.as_str())).collect();
    assert_eq!(known, ["0", "1", "2", "74", "78"]);
    let readme = read("README.md");
    let table = readme.split("| exit code | means |\n|---|---|\n").nth(1).expect("there is a table");
    let table = table.lines().take_while(|line| line.starts_with('|'));
    let told: Vec<&str> = table.filter_map(|line| Some(line.split('|').nth(1)?.trim())).collect();
    assert_eq!(told, known);
    let unit = read("examples/systemd/logphase.service");
    assert!(unit.contains("\nRestart=on-failure\n") && unit.contains("\nRestartPreventExitStatus=2 78\n"), "{unit}");
    // systemd judges the exit code of ExecStart alone, and would start again after one of ExecStartPre.
    assert!(unit.contains("\nRestartSec=") && !unit.contains("\nExecStartPre="), "{unit}");
}

/// Scenario: the help of every command.
/// Guarantees: each has examples, whose options exist, and no line of an example is broken.
#[test]
fn help_has_examples() {
    let option = Regex::new(r"\s(--[a-z][a-z-]*)").expect("it is valid");
    for (command, known) in &KNOWN.options {
        let words: Vec<&str> = command.split(' ').collect();
        let text = help(&words);
        let (_, examples) = text.split_once("Examples:\n").unwrap_or_else(|| panic!("{command} has no example"));
        let examples = examples.split("\n\n").next().unwrap_or_default();
        for line in examples.lines() {
            assert!(line.starts_with("  ") && line.contains("logphase "), "{command}: `{line}` is no command");
            let line = line.split(&format!("logphase {command}")).nth(1).unwrap_or_default();
            for found in option.captures_iter(line.split(" | ").next().unwrap_or_default()) {
                assert!(known.contains(&found[1]) || command == "queue", "{command} has no {}", &found[1]);
            }
        }
    }
}

/// Scenario: the site that `make docs` builds. Guarantees: every page of docs/ and every README of examples/ is in it, once; it is built, and
/// all of its links lead somewhere.
#[test]
fn the_site_has_every_page() {
    let summary = read("packaging/book/SUMMARY.md");
    let link = Regex::new(r"\]\(([^)]+)\)").expect("it is valid");
    let listed: Vec<&str> = link.captures_iter(&summary).filter_map(|found| Some(found.get(1)?.as_str())).collect();
    let mut expected: Vec<String> = pages().into_iter().map(|page| page.path).collect();
    for entry in std::fs::read_dir(root().join("examples")).expect("it is part of the project") {
        let name = entry.expect("it can be read").file_name().into_string().expect("it is ASCII");
        if root().join("examples").join(&name).join("README.md").exists() {
            expected.push(format!("examples/{name}/README.md"));
        }
    }
    for path in &expected {
        assert_eq!(listed.iter().filter(|listed| *listed == path).count(), 1, "{path}");
    }
    assert_eq!(listed.len(), expected.len());
    let directory = tempfile::tempdir().expect("a temporary folder can be made");
    let packages = crate::service::python("packaging/book/requirements.txt", "mdbook");
    let folder = packages.get_envs().find(|(name, _)| *name == "PYTHONPATH").and_then(|(_, value)| value);
    let mdbook = Path::new(folder.expect("it is set")).join("bin/mdbook");
    let built = Command::new(root().join("packaging/book/build")).arg(mdbook).arg(directory.path()).output();
    let built = built.expect("it runs");
    let said = [built.stdout, built.stderr].concat();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// Scenario: the recipes of docs/cookbook.md. Guarantees: each is the configuration of the test file that it names, which
/// `snippet_tests` runs.
#[test]
fn recipes_are_the_tested_ones() {
    let page = read("docs/cookbook.md");
    let recipe =
        Regex::new(r"(?s)\]\(\.\./(examples/[a-z-]+/tests\.yml)\)\.\n\n```yaml\n(.*?)```").expect("it is valid");
    let mut count = 0;
    for found in recipe.captures_iter(&page) {
        count += 1;
        assert!(read(&found[1]).contains(&found[2]), "{} has another configuration than the page", &found[1]);
    }
    assert!(count >= 6 && count == page.matches("```yaml").count(), "{count}");
}
