//! `logphase format`: lines of an access log by a template.

pub(super) mod entries;
mod template;

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use jiff::tz::{Offset, TimeZone};
use logphase_io::printable;
use logphase_protocol::format::{
    Known, KongEntry, Options, Placeholder, Placeholders, Section, Source, defaults, missing_operators, operators,
};

use self::entries::{Decoded, Document};
use super::{Exit, complain, given, say, show};

/// Bytes of lines that are written together.
const WRITE_BYTES: usize = 1 << 16;

/// Print the lines that a template makes of access log entries.
///
/// The template is in Envoy's format language (`%NAME(PARAMETERS):LENGTH%`), as in TrafficLog, MeshAccessLog and the
/// `format` of logging plugins. Entries are those of Envoy's access log service in the JSON form of protobuf, or log
/// objects of Kong: one object, an array, or JSON lines. Sends nothing. docs/access-log-format.md describes the language.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
#[command(group = ArgGroup::new("which").args(["template", "default", "operators"]).required(true).multiple(false))]
pub(super) struct Format {
    /// The template; with --json an object whose strings are templates.
    template: Option<String>,
    /// Use a default format: envoy, mesh-http, mesh-http-2.4-page or mesh-tcp.
    #[arg(long, value_name = "NAME", value_parser = defaults::ALL.map(|(name, _)| name))]
    default: Option<String>,
    /// The template is a JSON object: lines are JSON, with sorted keys and typed values.
    #[arg(long, conflicts_with = "default")]
    json: bool,
    /// File with entries; default: standard input.
    #[arg(long, value_name = "FILE")]
    entries: Option<PathBuf>,
    /// What the entries are; default: what each of them looks like.
    #[arg(long, value_enum, value_name = "SOURCE")]
    source: Option<SourceName>,
    /// Leave out what has no value (Envoy's `omit_empty_values`), instead of `-` or null.
    #[arg(long)]
    omit_empty: bool,
    /// Escape values as in a JSON string, so that a template that is JSON as text makes lines that are.
    #[arg(long, conflicts_with = "json")]
    escape: bool,
    /// Value of a placeholder of Kuma, like MESH=default for %KUMA_MESH%; repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = placeholder)]
    kuma: Vec<(Placeholder, String)>,
    /// Time zone of the proxy for START_TIME_LOCAL: local for that of this machine, UTC, or an offset like +02:00.
    #[arg(long, value_name = "ZONE", value_parser = zone, allow_hyphen_values = true)]
    zone: Option<TimeZone>,
    /// Print the operators that entries have, and those that they lack, with the reason.
    #[arg(long)]
    operators: bool,
}

/// What entries are.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SourceName {
    /// Entries of Envoy's access log service.
    Als,
    /// Log objects of Kong.
    Kong,
}

impl From<SourceName> for Source {
    fn from(name: SourceName) -> Self {
        match name {
            SourceName::Als => Self::Als,
            SourceName::Kong => Self::Kong,
        }
    }
}

const HELP: &str = "\
Examples:
  logphase format '%REQ(:METHOD)% %PATH% %RESPONSE_CODE%' < examples/envoy/entries.ndjson
  logphase format --json '{\"code\": \"%RESPONSE_CODE%\"}' < examples/envoy/entries.ndjson
  logphase format --default envoy --entries examples/envoy/entries.ndjson
  logphase format '%PATH% %DYNAMIC_METADATA(consumer:username)%' < examples/transaction.json
  logphase format --operators --source kong

Exit codes:
  0   every entry has a line
  1   an entry cannot be read
  2   the command line is invalid
  74  a file cannot be read
  78  the template is invalid";

fn placeholder(text: &str) -> Result<(Placeholder, String), String> {
    let names = || Placeholder::ALL.iter().map(|(name, _)| name.trim_start_matches("KUMA_"));
    let found = text.split_once('=').and_then(|(name, value)| {
        let name = name.trim_start_matches("KUMA_");
        Some((Placeholder::find(&format!("KUMA_{name}"))?, value.to_owned()))
    });
    found.ok_or_else(|| format!("expected NAME=VALUE with one of {}", names().collect::<Vec<_>>().join(", ")))
}

fn zone(text: &str) -> Result<TimeZone, String> {
    let offset = || {
        let (sign, digits) = text.split_at_checked(1)?;
        let (hours, minutes) = digits.split_once(':')?;
        let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
        let seconds = if sign == "-" { -seconds } else { seconds };
        Offset::from_seconds(seconds).ok().filter(|_| matches!(sign, "+" | "-") && digits.len() == 5)
    };
    match text {
        "UTC" => Ok(TimeZone::UTC),
        "local" => Ok(TimeZone::system()),
        _ => offset().map(TimeZone::fixed).ok_or_else(|| "expected local, UTC or an offset, like +02:00".to_owned()),
    }
}

/// Prints the line of each entry.
pub(super) fn run(arguments: &Format) -> Exit {
    let forced = arguments.source.map(Source::from);
    if arguments.operators {
        return print_operators(forced.unwrap_or(Source::Als));
    }
    let compile = |source| template::compile(arguments, &options(arguments, source));
    // A mistake that all entries would show needs none to be shown.
    let (als, kong) = (compile(Source::Als), compile(Source::Kong));
    let needless = match forced {
        Some(Source::Als) => als.as_ref().err(),
        Some(Source::Kong) => kong.as_ref().err(),
        None => als.as_ref().err().filter(|_| kong.is_err()),
    };
    if let Some(diagnostics) = needless {
        show(diagnostics);
        return Exit::Configuration;
    }
    let body = match given::read(arguments.entries.as_deref(), "entries", "--entries") {
        Ok(body) => body,
        Err(exit) => return exit,
    };
    let mut placeholders = Placeholders::default();
    arguments.kuma.iter().for_each(|(name, value)| placeholders.set(*name, value));
    let mut lines = Lines {
        als,
        kong,
        placeholders,
        newline: newline(arguments),
        missing: BTreeSet::new(),
        seen: BTreeSet::new(),
        out: Vec::new(),
    };
    let exit = lines.all(&body, forced);
    lines.flush();
    lines.note_headers();
    exit
}

fn options(arguments: &Format, source: Source) -> Options {
    let zone = arguments.zone.clone();
    Options { omit_empty: arguments.omit_empty, escape: arguments.escape, zone, ..Options::new(source) }
}

/// Whether lines need an end: Envoy adds none to text.
fn newline(arguments: &Format) -> bool {
    arguments.json || !template::text(arguments).is_some_and(|text| text.ends_with('\n'))
}

fn print_operators(source: Source) -> Exit {
    let mut text = String::new();
    for name in operators(source) {
        text += &format!("{name}\n");
    }
    for (name, reason) in missing_operators(source) {
        text += &format!("{name}  not available: {reason}\n");
    }
    say(text.as_bytes());
    Exit::Done
}

/// What makes lines of entries.
struct Lines {
    als: template::Result,
    kong: template::Result,
    placeholders: Placeholders,
    newline: bool,
    /// Headers that no entry had so far, and those that one had.
    missing: BTreeSet<(u8, String)>,
    seen: BTreeSet<(u8, String)>,
    out: Vec<u8>,
}

impl Lines {
    fn all(&mut self, body: &[u8], source: Option<Source>) -> Exit {
        let mut exit = Exit::Done;
        for (index, document) in entries::documents(body).enumerate() {
            let number = index + 1;
            let decoded = match document {
                Document::Entry(value) => entries::decode(value, source),
                Document::Broken(error) => Err(error),
            };
            match decoded.map(|decoded| self.line(&decoded)) {
                Ok(Ok(())) => {}
                Ok(Err(())) => return Exit::Configuration,
                Err(error) => {
                    self.flush();
                    complain(&format!("error: entry {number}: {error}\n"));
                    exit = Exit::Incomplete;
                }
            }
        }
        exit
    }

    /// Adds the line of an entry. An error: the template has a mistake for such entries, which is shown.
    fn line(&mut self, decoded: &Decoded) -> std::result::Result<(), ()> {
        let compiled = match decoded {
            Decoded::Kong(_) => &self.kong,
            Decoded::Http(_) | Decoded::Tcp(_) => &self.als,
        };
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(diagnostics) => {
                show(diagnostics);
                return Err(());
            }
        };
        let (missing, seen) = (&mut self.missing, &mut self.seen);
        decoded.with(&self.placeholders, |entry, envoy| {
            compiled.render(entry, &mut self.out);
            if !envoy {
                return;
            }
            for header in compiled.headers().into_iter().filter(|header| header.known == Known::None) {
                let mark = self.out.len();
                let key = (header.section as u8, header.name.clone());
                if entry.header(header, &mut self.out) {
                    seen.insert(key)
                } else {
                    missing.insert(key)
                };
                self.out.truncate(mark);
            }
        });
        if self.newline {
            self.out.push(b'\n');
        }
        if self.out.len() >= WRITE_BYTES {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        if std::io::stdout().is_terminal() {
            say(printable::lines(&String::from_utf8_lossy(&self.out)).as_bytes());
        } else {
            say(&self.out);
        }
        self.out.clear();
    }

    /// Says which headers no entry had: Envoy sends only those that it is told to.
    fn note_headers(&self) {
        for (section, name) in self.missing.difference(&self.seen) {
            let (what, option) = match *section {
                section if section == Section::Request as u8 => ("request header", "additional_request_headers_to_log"),
                section if section == Section::Response as u8 => {
                    ("response header", "additional_response_headers_to_log")
                }
                _ => ("response trailer", "additional_response_trailers_to_log"),
            };
            complain(&format!(
                "note: no entry has the {what} {name}: Envoy sends it only if {option} of its access log names it\n"
            ));
        }
    }
}
