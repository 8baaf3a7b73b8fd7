//! `logphase try`.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::arguments::Try;
use super::{Exit, asks, complain, given, pretty, say, show, unable};
use crate::decode::mapping::{Mapping, Report};
use crate::dry_run::why::{self, Absent};
use crate::dry_run::{self, DryRun, Found, Outcome, Ran};
use crate::entity::{Configuration, Field};
use crate::phase::Program;
use crate::service::{ConfigFiles, Prepared};
use crate::settings::Settings;
use crate::sink::Sink;
use logphase_config::diagnostic::{Place, SourceFile, any_error};
use logphase_config::document::SnippetSource;
use logphase_io::printable;
use logphase_script::ScriptError;
use logphase_script::needs::Need;
use logphase_script::transaction::Transaction;

/// Prints the message of each plugin for each transaction, in execution order.
pub(super) fn run(arguments: &Try) -> Exit {
    if arguments.print {
        return print_mapping(arguments);
    }
    let mut loaded = ConfigFiles::from(arguments.files.clone()).load();
    dry_run::extend_deadlines(&mut loaded.settings);
    if loaded.paths.is_empty() && !arguments.field.is_empty() {
        // Run only the fields, not the quickstart.
        loaded.configuration = Configuration::default();
    }
    add_fields(&mut loaded.configuration, &arguments.field);
    let absent = arguments.why.then(|| why::absent(&loaded.configuration));
    let prepared = match Prepared::new(loaded) {
        Ok(prepared) => prepared,
        Err(diagnostics) => {
            show(&diagnostics);
            return Exit::of(&diagnostics);
        }
    };
    show(prepared.warnings());
    let (router, sinks) = (prepared.router().clone(), prepared.sinks());
    let (mut program, settings) = prepared.into_program();
    program.router = router;
    let program = Arc::new(program);
    if let Err(unknown) = settings.mappings.check_argument(&arguments.mapping) {
        show(&[*unknown]);
        return Exit::Configuration;
    }
    let mapping = settings.mappings.find(&arguments.mapping);
    let exit = match transactions(arguments.transaction.as_deref(), mapping.clone(), &settings) {
        Ok(transactions) => {
            let show = Shown { json: arguments.json, absent: absent.as_deref(), sinks: &sinks };
            execute(&program, transactions, mapping.as_deref(), &show)
        }
        Err(exit) => exit,
    };
    if let Some(mapping) = mapping {
        say_report(&mapping, arguments.json);
    }
    exit
}

/// Prints the definition of a mapping.
fn print_mapping(arguments: &Try) -> Exit {
    let (settings, diagnostics) = ConfigFiles::from(arguments.files.clone()).read_settings();
    show(&diagnostics);
    if any_error(&diagnostics) {
        return Exit::of(&diagnostics);
    }
    if let Err(unknown) = settings.mappings.check_argument(&arguments.mapping) {
        show(&[*unknown]);
        return Exit::Configuration;
    }
    match settings.mappings.definition(&arguments.mapping) {
        Some(text) => say(text.as_bytes()),
        None => complain("`kong` is no mapping: what arrives are Kong's log objects already\n"),
    }
    Exit::Done
}

/// What is shown of each transaction, and how.
struct Shown<'a> {
    json: bool,
    /// The plugins that run for none, if their reasons are asked for.
    absent: Option<&'a [Absent]>,
    /// What each step delivers through.
    sinks: &'a [Option<Box<dyn Sink>>],
}

impl Shown<'_> {
    /// What the plugin sends in the place of its message, if that is something else.
    fn sent(&self, outcome: &Outcome) -> Option<Vec<Bytes>> {
        self.sinks.get(outcome.step)?.as_ref()?.preview(outcome.message.as_ref()?)
    }
}

/// Runs the transactions.
fn execute(
    program: &Arc<Program>,
    transactions: Vec<Transaction>,
    mapping: Option<&Mapping>,
    show_as: &Shown<'_>,
) -> Exit {
    let mut dry_run = match DryRun::new(program) {
        Ok(dry_run) => dry_run,
        Err(error) => return unable(&error),
    };
    let mut exit = Exit::Done;
    let count = transactions.len();
    let mut missing: Vec<&Need> = program.asks.needs().iter().collect();
    for (number, transaction) in transactions.into_iter().enumerate() {
        let mapped = mapping.map(|mapping| (mapping.name(), transaction.bytes().clone()));
        missing.retain(|need| !need.is_in(&transaction));
        let fits = show_as.absent.map(|absent| (dry_run.explain(&transaction), absent));
        let Ran { found, outcomes, .. } = dry_run.run(transaction);
        if outcomes.iter().any(|outcome| !outcome.errors.is_empty() || outcome.refused.is_some()) {
            exit = Exit::Incomplete;
        }
        if show_as.json {
            say_json(program, mapped, &outcomes, show_as);
            let lines = fits.map(|((fits, _), absent)| why::lines(program, &fits, absent));
            say(lines.unwrap_or_default().as_bytes());
        } else {
            let text = fits.map(|((fits, unlogged), absent)| why::text(program, &fits, absent, unlogged));
            say_pretty(program, (found, mapped), &outcomes, (number + 1, &text.unwrap_or_default()), show_as);
        }
    }
    let which = if count == 1 {
        "the transaction does not have it".to_owned()
    } else {
        format!("none of the {count} transactions has it")
    };
    show(&asks::missing(program, None, |need| missing.contains(&need).then(|| which.clone())));
    exit
}

/// Adds the fields of the command line to every logging plugin, or to a temporary one.
fn add_fields(configuration: &mut Configuration, arguments: &[(String, String)]) {
    let fields = arguments.iter().map(|(key, lua)| {
        let text = SourceFile::new(format!("--field {key}"), lua.clone());
        let key_origin = Place::new(text.clone(), 0..0).into();
        Field { key: key.clone(), source: SnippetSource::whole(&text), key_origin }
    });
    let origin = Place::new(SourceFile::new("--field", ""), 0..0).into();
    dry_run::add_fields(configuration, &fields.collect::<Vec<_>>(), origin);
}

/// Reads the transactions of a file or of standard input: one object, an array, or JSON lines.
fn transactions(
    path: Option<&Path>,
    mapping: Option<Arc<Mapping>>,
    settings: &Settings,
) -> Result<Vec<Transaction>, Exit> {
    let name = given::name(path);
    let body = Bytes::from(given::read(path, "transactions", "--transaction")?);
    let limits = settings.limits.transaction();
    let decoded = match mapping {
        Some(mapping) => dry_run::mapped_transactions(&body, mapping, limits),
        None => dry_run::transactions(&body, &limits),
    };
    let transactions = decoded.map_err(|rejection| {
        let line = dry_run::rejected_line(&body, &rejection);
        complain(&format!("error: {name}, line {line}: transaction {}: {rejection}\n", rejection.index));
        Exit::Incomplete
    })?;
    if transactions.is_empty() {
        complain(&format!("error: {name} holds no transaction\n"));
        return Err(Exit::Incomplete);
    }
    Ok(transactions)
}

fn say_json(program: &Program, mapped: Mapped<'_>, outcomes: &[Outcome], show_as: &Shown<'_>) {
    let mut out = Vec::new();
    if let Some((name, transaction)) = mapped {
        let head = json!({"mapping": name}).to_string();
        out.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
        out.extend_from_slice(b",\"transaction\":");
        out.extend_from_slice(&transaction);
        out.extend_from_slice(b"}\n");
    }
    for outcome in outcomes {
        let Outcome { step, message, errors, refused, .. } = outcome;
        let step = &program.steps[*step];
        let failed =
            |(part, error): &(usize, ScriptError)| json!({"field": step.parts[*part].name(), "message": error.message});
        let body = refused.iter().map(|error| json!({"field": "body", "message": error.reason}));
        let errors: Vec<_> = errors.iter().map(failed).chain(body).collect();
        let head = json!({"plugin": step.definition.name, "instance_name": step.instance_name, "errors": errors});
        let head = head.to_string();
        // Copied byte for byte: parsing could change how numbers are written.
        out.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
        out.extend_from_slice(b",\"message\":");
        out.extend_from_slice(message.as_deref().unwrap_or(b"null"));
        if let Some(sent) = show_as.sent(outcome) {
            let sent: Vec<_> = sent.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
            out.extend_from_slice(format!(",\"sent\":{}", json!(sent)).as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
    say(&out);
}

/// Prints what the lines had and the mapping does not read, and the other way round.
fn say_report(mapping: &Mapping, json: bool) {
    let Report { unseen, unreadable, unmapped, .. } = mapping.report();
    if json {
        let report =
            json!({"mapping": mapping.name(), "unseen": unseen, "unreadable": unreadable, "unmapped": unmapped});
        return say(format!("{report}\n").as_bytes());
    }
    let list = |names: &[String]| printable::line(&names.join(", ")).into_owned();
    for (names, what) in [
        (&unseen, "no line has"),
        (&unreadable, "not a value that the mapping can read"),
        (&unmapped, "the mapping does not read"),
    ] {
        if !names.is_empty() {
            complain(&format!("note: mapping `{}`: {what}: {}\n", mapping.name(), list(names)));
        }
    }
}

/// What is sent in the place of a message, a line or datagram after the other.
fn sent_as(sent: &[Bytes]) -> String {
    if sent.is_empty() {
        return "\nnothing is sent for it\n".to_owned();
    }
    let mut text = "\nsent as:\n".to_owned();
    for lines in sent.iter().map(|bytes| String::from_utf8_lossy(bytes)) {
        for (index, line) in lines.split('\n').enumerate() {
            text.push_str(if index == 0 { "  " } else { "    " });
            text.push_str(&printable::line(line));
            text.push('\n');
        }
    }
    text
}

/// The transaction that a mapping has made, with the name of the mapping.
type Mapped<'a> = Option<(&'a str, Bytes)>;

fn say_pretty(
    program: &Program,
    (found, mapped): (Option<Found>, Mapped<'_>),
    outcomes: &[Outcome],
    (number, why): (usize, &str),
    show_as: &Shown<'_>,
) {
    let mut out = format!("# transaction {number}\n").into_bytes();
    if let Some((name, transaction)) = mapped {
        out.extend_from_slice(format!("\n## made by mapping `{}`\n", printable::line(name)).as_bytes());
        out.extend_from_slice(pretty::printable_pretty(&transaction).as_bytes());
        out.push(b'\n');
    }
    if let Some(Found { route, service }) = found {
        let service = service.map_or("no service".to_owned(), |service| format!("service `{service}`"));
        let line = format!("route `{route}`, {service}: found by the router");
        out.extend_from_slice(format!("{}\n", printable::line(&line)).as_bytes());
    }
    if outcomes.is_empty() {
        let hint: &[u8] = if why.is_empty() { b"; --why says why" } else { b"" };
        out.extend_from_slice(&[b"no plugin applies", hint, b"\n"].concat());
    }
    for outcome in outcomes {
        let Outcome { step, message, errors, .. } = outcome;
        let step = &program.steps[*step];
        out.extend_from_slice(format!("\n## {}\n", printable::line(&step.label)).as_bytes());
        match message {
            Some(message) => out.extend_from_slice(pretty::printable_pretty(message).as_bytes()),
            None => {
                let why = dry_run::not_sent(step, outcome).unwrap_or_default();
                out.extend_from_slice(format!("{}\n", printable::line(&why)).as_bytes());
            }
        }
        if let Some(sent) = show_as.sent(outcome) {
            out.extend_from_slice(sent_as(&sent).as_bytes());
        }
        for (part, error) in errors {
            let diagnostic = dry_run::failure(step, *part, error);
            out.extend_from_slice(diagnostic.render(std::io::stdout().is_terminal()).as_bytes());
        }
    }
    out.extend_from_slice(why.as_bytes());
    out.push(b'\n');
    say(&out);
}
