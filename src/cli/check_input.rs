//! `logphase check --input`: what snippets read that the transactions of an input never have.

use std::collections::BTreeMap;

use serde_json::Value;

use super::asks;
use super::control::ControlClient;
use crate::decode::mapping::KONG;
use crate::phase::{Program, WINDOW};
use crate::settings::Settings;
use logphase_config::diagnostic::Diagnostic;
use logphase_script::needs::Need;

const PRINT_IT: &str = "`logphase forwarder` prints the configuration of Kong that sends it";

/// What a running service has seen of one input.
struct Seen {
    input: String,
    transactions: u64,
    /// Whether one of the last transactions had each member that the service's own configuration asks for.
    members: BTreeMap<String, bool>,
}

/// The findings for `input`: from what the running service has seen of it, or else from what Kong's log object has.
pub(super) fn findings(program: &Program, settings: &Settings, input: &str) -> Vec<Diagnostic> {
    let seen = seen(settings, input);
    let told = |need: &Need| seen.iter().find_map(|seen| Some((seen, *seen.members.get(&need.member())?)));
    let mut findings = asks::missing(program, Some(PRINT_IT), |need| match told(need) {
        Some((_, true)) => None,
        Some((Seen { input, transactions, .. }, false)) => {
            Some(format!("none of the last {} transactions of the input {input} had it", (*transactions).min(WINDOW)))
        }
        None if input == KONG && matches!(need, Need::Header(_)) => {
            Some("Kong's log object has REDACTED for it".to_owned())
        }
        None if input == KONG => Some("Kong's log object does not have it".to_owned()),
        None => None,
    });
    findings.extend(asks::unsendable(program));
    findings
}

/// What the service with these settings has seen of `input`; for Kong, of each input that had enough transactions.
fn seen(settings: &Settings, input: &str) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Without a service there is nothing to tell; another command says what is wrong with a broken one.
    let status = runtime.ok().and_then(|runtime| {
        let client = ControlClient::new(&settings.data_dir);
        runtime.block_on(async { client.get("/status").await.ok() })
    });
    let Some(Value::Object(inputs)) = status.as_ref().and_then(|status| status.get("inputs")) else {
        return Vec::new();
    };
    let seen = inputs.iter().filter(|(name, _)| input == KONG || *name == input).filter_map(|(name, status)| {
        let asked = status.get("asked")?;
        let transactions = asked.get("transactions")?.as_u64().filter(|count| *count >= WINDOW)?;
        let members = asked.get("members")?.as_object()?.iter();
        let members = members.map(|(member, seen)| (member.clone(), seen.as_bool().unwrap_or(false))).collect();
        Some(Seen { input: name.clone(), transactions, members })
    });
    let mut seen: Vec<Seen> = seen.collect();
    // The busiest input tells first.
    seen.sort_by_key(|seen| std::cmp::Reverse(seen.transactions));
    seen
}
