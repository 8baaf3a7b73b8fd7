//! docs/from-kong.md and examples/kong, as their reader follows them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::gateway::Gateway;
use crate::service::{Home, wait_until};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn example(name: &str) -> PathBuf {
    project().join("examples/kong").join(name)
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of code of a page, by language.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut parts = page.split("```");
    parts.next();
    let parts: Vec<&str> = parts.step_by(2).collect();
    let block = |part: &&str| part.split_once('\n').map(|(language, text)| (language.to_owned(), text.to_owned()));
    parts.iter().filter_map(block).collect()
}

/// A file without the comments at its beginning.
fn without_comment(text: &str) -> &str {
    let comments: usize = text.split_inclusive('\n').take_while(|line| line.starts_with('#')).map(str::len).sum();
    &text[comments..]
}

/// What `logphase forwarder` prints for the example.
fn printed(home: &Home, format: &str) -> String {
    let arguments =
        ["forwarder", "examples/kong/kong.yml", "--settings", "examples/kong/logphase.yml", "--format", format];
    // The address is that of the settings, not that of the test.
    let ended = home.run_in_project(&arguments);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(format == "json" || ended.stderr.is_empty(), "{}", ended.stderr);
    ended.stdout
}

/// Scenario: the printed configuration in the example, and the commands of its page.
/// Guarantees: the file is what the program prints (`BLESS=1` writes it); the commands name files that exist; those that
/// need Kong are marked; the snippets of the page's other configurations pass the check.
#[test]
fn the_example_is_what_is_printed() {
    let home = Home::new();
    let text = printed(&home, "yaml");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(example("forwarder.yml"), &text).unwrap();
    }
    assert_eq!(read(example("forwarder.yml")), text);
    let page = read(example("README.md"));
    let commands: Vec<_> = blocks(&page).into_iter().filter(|(language, _)| language == "sh").collect();
    let lines: Vec<&str> = commands.iter().flat_map(|(_, text)| text.lines()).collect();
    assert_eq!(lines.len(), 4);
    for line in lines {
        let own = line.starts_with("logphase ");
        assert!(own || line.ends_with("# needs Kong"), "{line}");
        for file in line.split(' ').filter(|word| word.starts_with("examples/")) {
            assert!(project().join(file).is_file(), "{file} of `{line}`");
        }
    }
    for (language, text) in blocks(&page) {
        if language == "yaml" {
            home.write("other.yml", &text);
            let checked = home.run(&["check", "other.yml"], b"");
            assert_eq!(checked.code(), 0, "{}", checked.stdout);
        }
    }
}

/// Scenario: the steps of the migration guide: the check, the printed plugins merged with Kong's own pre-function, and the
/// request, through a gateway that runs them.
/// Guarantees: the page's configuration is the example's; the check says what the page says; the message has what the page
/// says, although the secret does not leave.
#[test]
fn the_guide_can_be_followed() {
    let page = read(project().join("docs/from-kong.md"));
    let blocks = blocks(&page);
    let block = |language: &str, start: &str| {
        let found = blocks.iter().find(|(own, text)| own == language && text.starts_with(start));
        found.map(|(_, text)| text.as_str()).unwrap_or_else(|| panic!("the page has no block of {language} {start}"))
    };
    assert_eq!(without_comment(block("yaml", "# kong.yml")), without_comment(&read(example("kong.yml"))));
    let home = Home::new();
    let checked = home.run_in_project(&["check", "--input", "kong", "--format", "short", "examples/kong/kong.yml"]);
    assert_eq!(checked.stdout, block("text", ""), "{}", checked.stderr);

    // Kong's own function, and after it those that are printed.
    let own = block("yaml", "# kong-side.yml");
    home.write("kong-side.yml", own);
    assert_eq!(home.run(&["check", "kong-side.yml"], b"").code(), 0);
    let access = own.lines().rev().find_map(|line| line.trim().strip_prefix("- ")).unwrap();
    let mut merged: Value = serde_json::from_str(&printed(&home, "json")).unwrap();
    let functions = merged["plugins"][1]["config"]["access"].as_array_mut().unwrap();
    functions.insert(0, json!(access));
    home.write("forwarder.json", &merged.to_string());
    let path = home.text("file.log");
    home.write("kong.yml", &read(example("kong.yml")).replace("/tmp/logphase-kong.log", &path));

    let service = home.start();
    let gateway = Gateway::start(&service.home.path(""), service.home.http);
    let headers = [
        ("X-Team", "blue"),
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.x"),
    ];
    let body = r#"{"order":17}"#;
    let flags: String = headers.map(|(name, value)| format!(" -H '{name}: {value}'")).concat();
    assert!(
        page.contains(&format!("curl http://127.0.0.1:8000/orders/7{flags} -d '{body}'")),
        "the page sends another request"
    );
    gateway.request("POST /orders/7", &headers, body.as_bytes());
    let message = || std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    wait_until("the message is written", || message().is_some());
    let message = message().unwrap();
    let expected: Value = serde_json::from_str(block("json", "")).unwrap();
    for (name, value) in expected.as_object().unwrap().iter().filter(|(name, _)| *name != "request") {
        assert_eq!(&message[name], value, "{name}");
    }
    assert_eq!(message.pointer("/request/headers/authorization"), expected.pointer("/request/headers/authorization"));
    assert!(!message.to_string().contains("_context") && !message.to_string().contains("eyJ"), "{message}");
}
