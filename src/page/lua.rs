//! `GET /api/lua`: what snippets can call, for the completion of the playground.

use std::sync::LazyLock;

use hyper::StatusCode;
use logphase_script::catalogue::{Entry, catalogue};
use serde_json::{Value, json};

use crate::api::{Reply, text_reply};

/// All names, as JSON. They are those of the program.
static NAMES: LazyLock<String> = LazyLock::new(|| Value::from_iter(catalogue().iter().map(shown)).to_string());

fn shown(entry: &Entry) -> Value {
    json!({
        "name": entry.name,
        "kind": entry.kind.name(),
        "signature": entry.signature,
        "doc": entry.doc,
        "profile": entry.profile,
        "phase_note": entry.phase_note(),
        "module": entry.module,
    })
}

/// Answers with all names.
pub(super) fn answer() -> Reply {
    text_reply(StatusCode::OK, "application/json; charset=utf-8", NAMES.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the page asks for the names. Guarantees: those that snippets use most are there, each with its signature and what it does.
    #[test]
    fn names_for_completion() {
        let names: Vec<Value> = serde_json::from_str(&NAMES).unwrap();
        for name in ["kong.request.get_header", "ngx.var", "string.format"] {
            let entry = names.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{name}"));
            assert!(entry["doc"].as_str().is_some_and(|doc| doc.len() > 5), "{entry}");
            assert!(["sandbox", "strict"].contains(&entry["profile"].as_str().unwrap()), "{entry}");
        }
        let header = names.iter().find(|entry| entry["name"] == "kong.request.get_header").unwrap();
        assert_eq!(header["kind"], "function");
        assert!(header["signature"].as_str().unwrap().starts_with('('), "{header}");
    }
}
