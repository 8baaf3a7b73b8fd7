//! The answer to a request: what each plugin makes of each transaction, and why.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::logged::Logged;
use super::places::{Places, cut};
use super::{Request, Setup};
use crate::dry_run::{DryRun, Outcome, Ran, not_sent, why};
use crate::phase::{Fit, Step};
use logphase_script::Clock;
use logphase_script::message::Message;
use logphase_script::transaction::Transaction;

/// Transactions of one request that are run.
const MAX_TRANSACTIONS: usize = 100;

/// Bytes of the results, at most: less than the process may write, for the rest of the answer.
const MAX_RESULTS: usize = 3 << 20;

/// CPU time of the process after which no further transaction begins: before the system ends the process.
const MAX_CPU: Duration = Duration::from_millis(1500);

/// The answer.
#[derive(Serialize)]
struct Answer {
    diagnostics: Vec<Value>,
    transactions: Vec<Box<RawValue>>,
    log: Vec<String>,
    /// Why not all transactions were run: `time`, `output`, or `transactions`, of which there are too many.
    stopped: Option<&'static str>,
}

/// What the plugins make of a transaction.
#[derive(Serialize)]
struct OfTransaction<'a> {
    route: Option<String>,
    plugins: Vec<OfPlugin<'a>>,
    skipped_plugins: Vec<Value>,
}

/// What a plugin makes of it.
#[derive(Serialize)]
struct OfPlugin<'a> {
    name: &'a str,
    id: &'a str,
    instance_name: Option<&'a str>,
    before: Option<Box<RawValue>>,
    after: Option<Box<RawValue>>,
    not_sent: Option<String>,
    sent: Option<Vec<String>>,
    errors: Vec<Value>,
    changes: Vec<Value>,
    micros: u64,
}

/// Answers `request`, as JSON.
pub(crate) fn answer(request: &Request, clock: &Arc<Clock>) -> Vec<u8> {
    let logged = Logged::installed();
    let (setup, mut diagnostics) = Setup::new(request);
    let (mut results, mut stopped) = (Vec::new(), None);
    if let Ok(setup) = setup {
        match DryRun::with_clock(&setup.program, clock) {
            Ok(dry_run) => (results, stopped) = run(request, setup, dry_run.noting()),
            Err(error) => diagnostics.insert(0, json!({"severity": "error", "code": null, "message": cut(&error.to_string()), "source": null, "start": null, "end": null, "label": "", "help": null})),
        }
    }
    let answer = Answer { diagnostics, transactions: results, log: logged.take(), stopped };
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// Runs the transactions. Returns the result of each, and why there are not more.
fn run(request: &Request, mut setup: Setup, mut dry_run: DryRun) -> (Vec<Box<RawValue>>, Option<&'static str>) {
    let places = Places::new(&request.configuration, None, "");
    let (mut results, mut bytes) = (Vec::new(), 0);
    for transaction in std::mem::take(&mut setup.transactions) {
        if results.len() == MAX_TRANSACTIONS {
            return (results, Some("transactions"));
        }
        if cpu_time() > MAX_CPU {
            return (results, Some("time"));
        }
        let (fits, _) = dry_run.explain(&transaction);
        let ran = dry_run.run(transaction);
        let Ok(result) = serde_json::value::to_raw_value(&of_transaction(&setup, &places, &fits, &ran)) else {
            continue;
        };
        bytes += result.get().len();
        if bytes > MAX_RESULTS {
            return (results, Some("output"));
        }
        results.push(result);
    }
    (results, None)
}

/// The CPU time of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn of_transaction<'a>(setup: &'a Setup, places: &Places<'_>, fits: &'a [Fit], ran: &Ran) -> OfTransaction<'a> {
    let skipped = why::all(&setup.program, fits, &setup.absent).filter_map(|reason| {
        let why = cut(&reason.why_not?);
        Some(json!({"name": reason.name, "id": reason.id, "instance_name": reason.instance, "why": why}))
    });
    OfTransaction {
        route: ran.found.as_ref().map(|found| found.route.clone()).or_else(|| route_of(&ran.transaction)),
        plugins: ran.outcomes.iter().map(|outcome| of_plugin(setup, places, &ran.transaction, outcome)).collect(),
        skipped_plugins: skipped.collect(),
    }
}

/// The name of the transaction's own route, or else its id.
fn route_of(transaction: &Transaction) -> Option<String> {
    let route: Value = serde_json::from_slice(transaction.get("route")?.raw()).ok()?;
    ["name", "id"].iter().find_map(|member| route.get(*member)?.as_str().map(cut))
}

fn of_plugin<'a>(setup: &'a Setup, places: &Places<'_>, transaction: &Transaction, outcome: &Outcome) -> OfPlugin<'a> {
    let step: &'a Step = &setup.program.steps[outcome.step];
    let before = step.definition.emits.then(|| {
        let message = Message::new(transaction.clone(), setup.program.style());
        raw(&message.shaped(&step.shape).ok()?)
    });
    let preview = |message: &Bytes| setup.sinks.get(outcome.step)?.as_ref()?.preview(message);
    let text = |sent: &Bytes| String::from_utf8_lossy(sent).into_owned();
    let failed = outcome.errors.iter().map(|(part, error)| {
        let part = &step.parts[*part];
        let line = places.line(&part.source.line_origin(error.line.unwrap_or(1)));
        json!({"field": part.name(), "message": cut(&error.message), "line": line})
    });
    let of_body = outcome.refused.iter();
    let of_body = of_body.map(|error| json!({"field": "body", "message": cut(&error.reason), "line": null}));
    OfPlugin {
        name: step.definition.name,
        id: &step.id,
        instance_name: step.instance_name.as_deref(),
        before: before.flatten(),
        after: outcome.message.as_deref().and_then(raw),
        not_sent: not_sent(step, outcome),
        sent: outcome.message.as_ref().and_then(preview).map(|sent| sent.iter().map(text).collect()),
        errors: failed.chain(of_body).collect(),
        changes: outcome.changes.iter().map(|change| change.to_json(&setup.program)).collect(),
        micros: outcome.micros,
    }
}

/// JSON as it is: reading it could change how numbers are written.
fn raw(json: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(json.to_vec()).ok()?).ok()
}
