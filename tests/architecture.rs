//! The map of the house in CONTRIBUTING.md, held against the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, without tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_stem().unwrap().to_string_lossy().into_owned();
        if entry.is_dir() && name != "tests" {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
            found.push(entry);
        }
    }
    found
}

/// The code of a file, without comments and without the tests at its end.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The folders and files of `src` in the order of CONTRIBUTING.md's table: `| \`src/cli/\` | ... |`.
fn rooms() -> Vec<String> {
    let page = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `src/"));
    rows.filter_map(|row| row.split_once('`'))
        .map(|(name, _)| name.trim_end_matches(['/']).replace(".rs", ""))
        .collect()
}

/// Scenario: every `crate::` path in `src`. Guarantees: each room is in the table of CONTRIBUTING.md, and imports only rooms
/// below it there, so that there is no circle between rooms.
#[test]
fn imports_point_down_the_table() {
    let rooms = rooms();
    let rank = |room: &str| rooms.iter().position(|known| known == room);
    let own: BTreeSet<String> = std::fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "lib" && name != "main")
        .collect();
    assert_eq!(own, rooms.iter().filter(|room| *room != "main").cloned().collect(), "the table and src/ differ");
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        let relative = file.strip_prefix(root().join("src")).unwrap();
        let room = relative.iter().next().unwrap().to_string_lossy().replace(".rs", "");
        let Some(from) = rank(&room) else { continue };
        let code = code(&file);
        for (at, _) in code.match_indices("crate::") {
            let name: String = code[at + 7..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if rank(&name).is_some_and(|to| to < from) {
                wrong.push(format!("{} imports crate::{name}, which is above it", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Scenario: the names of all plugins in the code outside of `src/plugin`. Guarantees: none is there: what is special about a
/// plugin is a fact of its definition.
#[test]
fn only_plugins_name_plugins() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        if file.starts_with(root().join("src/plugin")) {
            continue;
        }
        // An input may have the name of a plugin that speaks the same protocol.
        let code = code(&file).replace("const NAME: &'static str = \"syslog\";", "");
        for definition in logphase::plugin::definitions() {
            if code.contains(&format!("\"{}\"", definition.name)) {
                wrong.push(format!("{} names {}", file.display(), definition.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
