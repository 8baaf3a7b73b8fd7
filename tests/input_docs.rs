//! docs/inputs.md matches the inputs, and the examples of the pages that readers begin with are sound.
//!
//! `BLESS=1 cargo test --test main input_docs` rewrites the tables of settings.

use std::path::PathBuf;

use crate::readme::settings_rows;
use crate::service::Home;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

const CLOSE: &str = "<!-- /input -->";

/// The settings below `inputs.NAME`.
fn table(name: &str) -> String {
    let below = format!("inputs.{name}.");
    let rows: Vec<String> =
        settings_rows().into_iter().filter(|row| row.path.starts_with(&below)).map(|row| row.line()).collect();
    format!("\n| setting | variable | default | |\n|---|---|---|---|\n{}\n", rows.concat())
}

/// Scenario: the settings of every input.
/// Guarantees: docs/inputs.md has a section for each, with all of its settings, and no other.
#[test]
fn tables_of_settings_are_whole() {
    let path = root().join("docs/inputs.md");
    let before = std::fs::read_to_string(&path).expect("docs/inputs.md is part of the project");
    let mut after = before.clone();
    for input in logphase::input::INPUTS {
        let open = format!("<!-- input {} -->\n", input.name);
        assert!(after.contains(&format!("\n## {}\n", input.name)), "docs/inputs.md has no section {}", input.name);
        let start = after.find(&open).unwrap_or_else(|| panic!("docs/inputs.md has no {open}")) + open.len();
        let end = start + after[start..].find(CLOSE).unwrap_or_else(|| panic!("no {CLOSE} after {open}"));
        after.replace_range(start..end, &table(input.name));
    }
    assert_eq!(after.matches(CLOSE).count(), logphase::input::INPUTS.len());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, after).expect("docs/inputs.md can be written");
    } else {
        assert!(after == before, "docs/inputs.md is not up to date: run BLESS=1 cargo test --test main input_docs");
    }
}

/// The blocks of YAML in a page that name their file, as pairs of its name and its text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let named = |block: &str| Some((block.strip_prefix("# ")?.lines().next()?.to_owned(), block.to_owned()));
    blocks.filter_map(named).collect()
}

/// Scenario: every `kong.yml` and `logphase.yml` of the pages about inputs, proxies and performance.
/// Guarantees: `logphase check` accepts each without a warning.
#[test]
fn examples_are_accepted() {
    let mut count = 0;
    for page in ["docs/inputs.md", "docs/proxies.md", "docs/performance.md"] {
        for (name, text) in blocks(page) {
            let home = Home::new();
            home.write("kong.yml", "_format_version: '3.0'\n");
            home.write(&name, &text);
            let ended = home.run(&["check", "--format", "short", "kong.yml"], b"");
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(ended.code() == 0 && !said.contains("warning"), "{page}: {text}\n{said}");
            count += 1;
        }
    }
    assert!(count >= 15, "{count}");
}
