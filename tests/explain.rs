//! `logphase explain CODE`, and docs/codes.md.
//!
//! `BLESS=1 cargo test --test main explain` rewrites docs/codes.md.

use std::path::Path;

use logphase_config::diagnostic::codes::{CODES, EXAMPLES, Example};
use serde_json::Value;

use crate::service::{Ended, Home};

/// Whether `check` or `test` reports the code of `example` in its text `text`, and everything that it said.
fn reports(example: &Example, text: &str) -> (bool, Ended) {
    let home = Home::with("_format_version: \"3.0\"\n")
        .set("DECK_LOG_PATH", "/tmp/all.log")
        .set("LOG_URL", "http://127.0.0.1:9/");
    if let Some((name, text)) = example.beside {
        home.write(name, text);
    }
    home.write(example.file, text);
    let command: &[&str] = match example.file {
        "tests.yml" => &["test", "tests.yml"],
        // It names the files itself.
        "logphase.yml" if text.starts_with("config:") => &["check"],
        _ => &["check", "kong.yml"],
    };
    let ended = home.run(command, b"");
    (format!("{}{}", ended.stdout, ended.stderr).contains(&format!("[{}]", example.code)), ended)
}

/// Scenario: the example of each code, with the mistake and without it, checked by the program.
/// Guarantees: the first is reported under the code; the second is not, and is valid.
#[test]
fn examples_are_wrong_and_right() {
    assert!(EXAMPLES.len() > 30, "{}", EXAMPLES.len());
    for example in EXAMPLES {
        let (reported, ended) = reports(example, example.wrong);
        assert!(reported, "{}: {}{}", example.code, ended.stdout, ended.stderr);
        let (reported, ended) = reports(example, example.right);
        assert!(!reported && ended.code() == 0, "{}: {}{}", example.code, ended.stdout, ended.stderr);
    }
}

/// Scenario: `check` of a file with a mistake; then `explain` of the code that its last line names, in lower case, of two codes, of one
/// that does not exist, of all of them, as text and as JSON.
/// Guarantees: each is explained with its example; what does not exist is exit code 1, and the others are explained all the same.
#[test]
fn codes_are_explained() {
    let home = Home::with("_format_version: \"3.0\"\nplugins: [{name: file-log, config: {path: /tmp/x, pth: 1}}]\n");
    let checked = home.run(&["check", "kong.yml"], b"");
    assert!(
        checked.stdout.ends_with("`logphase explain K0102` says more about an error of that code\n"),
        "{}",
        checked.stdout
    );
    let ended = home.run(&["explain", "k0102"], b"");
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    insta::assert_snapshot!(ended.stdout);
    let ended = home.run(&["explain", "K0213", "K9999", "K0102"], b"");
    assert_eq!(ended.code(), 1);
    assert!(ended.stderr.contains("there is no code K9999"), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("Both with this kong.yml:") && ended.stdout.contains("K0102: a field"),
        "{}",
        ended.stdout
    );
    let lines = |arguments: &[&str]| -> Vec<Value> {
        let ended = home.run(arguments, b"");
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    };
    let [line] = &*lines(&["explain", "--json", "K0102"]) else { panic!("not one line") };
    assert_eq!(line["code"], "K0102");
    assert_eq!(line["example"]["file"], "kong.yml");
    assert_eq!(lines(&["explain", "--codes", "--json"]).len(), CODES.len());
    assert_eq!(home.run(&["explain", "--codes"], b"").stdout.lines().count(), CODES.len());
    // A file may have the name of a code.
    home.write("K0102", "_format_version: \"3.0\"\n");
    assert_eq!(home.run(&["explain", "K0102"], b"").code(), 78);
}

/// Scenario: every code. Guarantees: docs/codes.md has each with what it means and its example.
#[test]
fn the_page_has_every_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/codes.md");
    let before = std::fs::read_to_string(&path).expect("docs/codes.md is part of the project");
    let (open, close) = ("<!-- codes -->\n", "<!-- /codes -->\n");
    let start = before.find(open).expect("it has the mark") + open.len();
    let end = before.find(close).expect("it has the mark");
    let page = format!("{}{}{}", &before[..start], sections(), &before[end..]);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page).expect("docs/codes.md can be written");
    } else {
        assert!(page == before, "docs/codes.md is not up to date: run BLESS=1 cargo test --test main explain");
    }
}

fn sections() -> String {
    let mut page = String::new();
    for code in CODES {
        page.push_str(&format!("\n## {}: {}\n\n{}\n", code.code, code.title, code.text));
        let Some(Example { file, beside, wrong, right, .. }) = code.example() else { continue };
        page.push_str(&format!("\nWrong, in `{file}`:\n\n```yaml\n{wrong}```\n\nRight:\n\n```yaml\n{right}```\n"));
        if let Some((beside, text)) = beside {
            page.push_str(&format!("\nBoth with this `{beside}`:\n\n```yaml\n{text}```\n"));
        }
    }
    page.push('\n');
    page
}
