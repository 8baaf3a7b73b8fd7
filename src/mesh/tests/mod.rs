//! Reading and choosing resources of a mesh.

mod formats;
mod forms;
mod policies;
mod scenarios;
mod traffic_logs;
mod winner;

use logphase_config::diagnostic::{Diagnostic, SourceFile};
use logphase_config::document;

use super::Resources;

/// The resources of the documents in `text`, and the diagnostics about them.
fn read(text: &str) -> (Resources, Vec<Diagnostic>) {
    let file = SourceFile::new("mesh.yml", text);
    let mut documents = document::parse_all(&file, None);
    let (resources, found) = super::read(&documents.roots);
    let mut diagnostics = std::mem::take(&mut documents.diagnostics);
    diagnostics.extend(found);
    (resources, diagnostics)
}

/// The messages of the diagnostics about `text`.
fn messages(text: &str) -> Vec<String> {
    read(text).1.into_iter().map(|diagnostic| diagnostic.message).collect()
}

/// The resources of `text`, which has no mistakes.
fn good(text: &str) -> Resources {
    let (resources, diagnostics) = read(text);
    assert!(!diagnostics.iter().any(Diagnostic::is_error), "{text}\n{diagnostics:#?}");
    resources
}

/// `text` with `spaces` before each line.
fn indented(text: &str, spaces: usize) -> String {
    text.trim().lines().map(|line| format!("{}{line}\n", " ".repeat(spaces))).collect()
}
