//! `logphase forwarder`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::arguments::{Forwarder as Arguments, ForwarderFormat};
use super::{Exit, asks, complain, say, show};
use crate::forwarder::Forwarder;
use crate::phase::Program;
use crate::service::{ConfigFiles, Prepared};
use crate::settings::Settings;
use logphase_io::printable;
use logphase_script::needs::Need;

/// Where Kong finds a Logphase on the same machine whose settings say nothing.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:9080/";

/// Prints the configuration of Kong on standard output, and what it cannot send on standard error.
pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut loaded = ConfigFiles::from(arguments.files.clone()).load();
    // What Kong sends is not replayed.
    loaded.settings.replay_phases.clear();
    let prepared = match Prepared::new(loaded) {
        Ok(prepared) => prepared,
        Err(diagnostics) => {
            show(&diagnostics);
            return Exit::of(&diagnostics);
        }
    };
    let program = prepared.program();
    show(&[prepared.warnings(), &asks::unsendable(program)].concat());
    let endpoint = arguments.endpoint.clone().unwrap_or_else(|| endpoint(prepared.settings()));
    let http = prepared.settings().inputs.get("http");
    let set = |path: &str| {
        http.and_then(|http| http.pointer(path)).is_some_and(|value| *value != json!([]) && !value.is_null())
    };
    let needs: BTreeSet<Need> = program.asks.needs().iter().chain(&arguments.with).cloned().collect();
    let forwarder = Forwarder {
        needs,
        endpoint,
        token: set("/auth/tokens") || set("/auth/token_file"),
        version: arguments.kong_version,
        max_body_bytes: arguments.max_body_bytes,
        max_request_bytes: prepared.settings().limits.max_body_bytes,
    }
    .reduced();
    let text = match arguments.format {
        ForwarderFormat::Yaml => forwarder.to_yaml(&notes(program, &forwarder)),
        ForwarderFormat::Json => {
            forwarder.remarks().iter().for_each(|remark| complain(&format!("note: {remark}\n")));
            forwarder.to_json()
        }
    };
    say(text.as_bytes());
    Exit::Done
}

/// The URL of the HTTP input, as Kong on the same machine reaches it.
fn endpoint(settings: &Settings) -> String {
    let listen = settings.inputs.get("http").and_then(|http| http.get("listen"));
    let first = listen.and_then(|listen| listen.as_array()?.first()?.as_str());
    let Some((host, port)) = first.and_then(|address| address.rsplit_once(':')) else {
        complain(&format!(
            "note: the setting inputs.http.listen is not set; {DEFAULT_ENDPOINT} is used as the endpoint\n"
        ));
        return DEFAULT_ENDPOINT.to_owned();
    };
    let host = match host {
        "" | "0.0.0.0" | "[::]" | "*" => {
            complain(
                "note: the HTTP input listens on all addresses; if Kong runs on another machine, use --endpoint\n",
            );
            "127.0.0.1"
        }
        host => host,
    };
    let tls =
        settings.inputs.get("http").and_then(|http| http.pointer("/tls/certificate")).is_some_and(Value::is_string);
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{host}:{port}/")
}

/// The comments at the top: what is sent and who reads it, and what to know.
fn notes(program: &Program, forwarder: &Forwarder) -> Vec<String> {
    let mut notes = vec![
        "The Kong side of Logphase, printed by `logphase forwarder`: plugins for Kong's declarative configuration."
            .to_owned(),
    ];
    if forwarder.needs.is_empty() {
        notes.push("No snippet reads more than Kong's log object has.".to_owned());
    } else {
        notes.push("They send what snippets read beyond Kong's log object:".to_owned());
    }
    for need in &forwarder.needs {
        let askers: Vec<String> = program.asks.askers(need).map(|ask| asks::asker(program, ask)).collect();
        let who = match askers.len() {
            0 => "--with, or part of another".to_owned(),
            1..4 => askers.join(", "),
            more => format!("{}, and {} more", askers[..2].join(", "), more - 2),
        };
        notes.push(printable::line(&format!("  {}: {who}", need.member())).into_owned());
    }
    let remarks = forwarder.remarks();
    if !remarks.is_empty() {
        notes.extend(["".to_owned(), "Before you use it:".to_owned()]);
        notes.extend(remarks.into_iter().map(|remark| format!("- {remark}")));
    }
    notes
}
