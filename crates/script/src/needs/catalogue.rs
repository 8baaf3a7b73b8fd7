//! What the members of `kong` and `ngx` answer from, beyond Kong's log object.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{How, Step, Use, uses};
use super::{FACTS, Fact, Need};
use crate::transaction::is_credential;

/// Something that was found in a snippet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Line in the source, from 1: the first.
    pub line: usize,
    /// What was found.
    pub note: Note,
}

/// What was found in a snippet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// It reads something that Kong can send along.
    Needs(Need),
    /// It reads something whose name is known only when it runs.
    Dynamic {
        /// What it reads.
        what: String,
        /// What to do.
        help: &'static str,
    },
    /// It reads something that no proxy can send along.
    Impossible {
        /// What it reads.
        what: String,
        /// Why.
        reason: &'static str,
    },
}

/// What each of `sources`, the snippets of one plugin, reads that Kong's log object does not have, by line.
pub fn findings(sources: &[&str]) -> Vec<Vec<Finding>> {
    let all: Vec<Vec<Use>> = sources.iter().map(|source| uses(source)).collect();
    let written = all.iter().flatten().filter(|found| found.how == How::Written);
    let written: BTreeSet<String> = written.map(|found| text_of(&found.path)).collect();
    all.iter().map(|uses| of_uses(uses, &written)).collect()
}

/// What `uses` read. `written` is what the plugin's own snippets assign to.
fn of_uses(uses: &[Use], written: &BTreeSet<String>) -> Vec<Finding> {
    let mut first = BTreeMap::new();
    for found in uses.iter().filter(|found| found.how != How::Written) {
        // What a snippet only tests before it reads a member of it is read by the latter.
        if found.how == How::Tested && is_read_deeper(uses, found) {
            continue;
        }
        for note in notes(found) {
            // The plugin's own table starts empty: what its snippets put into it is there.
            let own = matches!(&note, Note::Impossible { what, .. } if is_written(written, what));
            if !own {
                let line = first.entry(note).or_insert(found.line);
                *line = found.line.min(*line);
            }
        }
    }
    let mut all: Vec<Finding> = first.into_iter().map(|(note, line)| Finding { line, note }).collect();
    let whole: Vec<Need> = all.iter().filter_map(|finding| finding.need().cloned()).collect();
    all.retain(|finding| !finding.need().is_some_and(|need| whole.iter().any(|other| covers(other, need))));
    all.sort();
    all
}

/// Whether `what`, or a table that it is in, is among `written`.
fn is_written(written: &BTreeSet<String>, what: &str) -> bool {
    let tables = what.match_indices(['.', '[']).map(|(end, _)| &what[..end]);
    written.contains(what) || tables.into_iter().any(|table| written.contains(table))
}

impl Finding {
    /// What is needed, if Kong can send it along.
    pub fn need(&self) -> Option<&Need> {
        match &self.note {
            Note::Needs(need) => Some(need),
            _ => None,
        }
    }
}

impl Need {
    /// Removes the needs of `all` that others include.
    pub fn reduce(all: &mut BTreeSet<Self>) {
        let before = all.clone();
        all.retain(|need| !before.iter().any(|other| covers(other, need)));
    }
}

/// Whether who has `whole` has `part`, which is another need.
fn covers(whole: &Need, part: &Need) -> bool {
    match (whole, part) {
        (Need::Shared(whole), Need::Shared(part)) | (Need::NgxCtx(whole), Need::NgxCtx(part)) => {
            whole.len() < part.len() && part.starts_with(whole)
        }
        (Need::ServiceHeader(None), Need::ServiceHeader(Some(_))) => true,
        _ => false,
    }
}

fn is_read_deeper(uses: &[Use], tested: &Use) -> bool {
    let deeper = |other: &Use| other.path.len() > tested.path.len() && other.path.starts_with(&tested.path);
    uses.iter().any(|other| other.how == How::Read && deeper(other))
}

/// A path as text.
fn text_of(path: &[Step]) -> String {
    let mut text = String::new();
    for (at, step) in path.iter().enumerate() {
        match step {
            Step::Member(name) if at == 0 => text.push_str(name),
            Step::Member(name) => text.extend([".", name]),
            Step::Index => text.push_str("[...]"),
            Step::Call(_) => text.push_str("()"),
        }
    }
    text
}

/// Names that come first and without any other step.
fn leading_names(path: &[Step]) -> Vec<&str> {
    path.iter().map_while(|step| if let Step::Member(name) = step { Some(name.as_str()) } else { None }).collect()
}

fn notes(found: &Use) -> Vec<Note> {
    let names = leading_names(&found.path);
    let rest = &found.path[names.len()..];
    match names[..] {
        ["kong", ref names @ ..] => of_kong(found, names, rest),
        ["ngx", ref names @ ..] => of_ngx(found, names, rest),
        _ => Vec::new(),
    }
}

fn needs(need: Need) -> Vec<Note> {
    vec![Note::Needs(need)]
}

fn impossible(found: &Use, reason: &'static str) -> Vec<Note> {
    vec![Note::Impossible { what: text_of(&found.path), reason }]
}

fn dynamic(what: String, help: &'static str) -> Vec<Note> {
    vec![Note::Dynamic { what, help }]
}

const HANDED_ON: &str = "what is read from it there is not seen: call its functions by their names in the snippet";
const CLOSED: &str = "it reaches Kong's database, its network or its other workers, which the sandbox of the log phase does \
                      not have";
const HEADER_BY_NAME: &str = "`authorization` and `proxy-authorization` arrive as REDACTED: if the snippet reads one of \
                              them, name it with --with request.headers.authorization";

fn of_kong(found: &Use, names: &[&str], rest: &[Step]) -> Vec<Note> {
    if let Some(fact) = fact(names) {
        return needs(Need::Fact(fact));
    }
    match names {
        [] | ["request" | "client" | "response" | "service" | "ctx"] | ["service", "response"] | ["client", "tls"] => {
            match rest.is_empty() && found.how == How::Tested {
                true => Vec::new(),
                false => dynamic(text_of(&found.path), HANDED_ON),
            }
        }
        ["request", "get_raw_body" | "get_body"] => needs(Need::RequestBody),
        ["response", "get_raw_body"] => needs(Need::ResponseBody),
        ["service", "response", "get_raw_body" | "get_body"] => needs(Need::ServiceResponseBody),
        ["service", "response", "get_header"] => needs(Need::ServiceHeader(argument(rest))),
        ["service", "response", "get_headers"] => match member_of_result(rest) {
            _ if found.how == How::Called => Vec::new(),
            Some(name) => needs(Need::ServiceHeader(Some(name.to_ascii_lowercase()))),
            None => needs(Need::ServiceHeader(None)),
        },
        ["request", "get_header"] => match argument(rest) {
            Some(name) => header(&name),
            None => dynamic("a request header whose name is computed".to_owned(), HEADER_BY_NAME),
        },
        ["request", "get_headers"] => headers(found, rest),
        ["client", "get_token" | "get_jwt_token_payload"] => header("authorization"),
        ["client", "get_ip"] => needs(Need::Var("realip_remote_addr".to_owned())),
        ["client", "get_port"] => needs(Need::Var("realip_remote_port".to_owned())),
        ["client", "get_forwarded_port"] => needs(Need::Var("remote_port".to_owned())),
        ["client", "get_consumer_group"] => needs(Need::Fact(Fact::ConsumerGroups)),
        ["client", "get_credential"] => credential(found, rest),
        ["client", "load_consumer"] => {
            impossible(found, "consumers other than the transaction's own are in Kong's database")
        }
        ["ctx", "shared", below @ ..] => shared(found, below, rest),
        ["ctx", "plugin", ..] => impossible(
            found,
            "kong.ctx.plugin belongs to one plugin of Kong, and no other can read it: what another phase has to pass on \
             goes into kong.ctx.shared",
        ),
        ["ctx", "core", ..] => impossible(found, "kong.ctx.core holds Kong's own objects"),
        [first, ..] if crate::pdk::is_closed(first) => impossible(found, CLOSED),
        _ => Vec::new(),
    }
}

fn fact(names: &[&str]) -> Option<Fact> {
    let is =
        |function: &str| function.strip_prefix("kong.").is_some_and(|path| path.split('.').eq(names.iter().copied()));
    FACTS.iter().find(|(_, _, function, _)| is(function)).map(|(fact, ..)| *fact)
}

/// The text that a function is called with.
fn argument(rest: &[Step]) -> Option<String> {
    match rest.first() {
        Some(Step::Call(Some(text))) => Some(text.to_ascii_lowercase()),
        _ => None,
    }
}

/// The member of a call's result.
fn member_of_result(rest: &[Step]) -> Option<&str> {
    match rest {
        [Step::Call(_), Step::Member(name), ..] => Some(name),
        _ => None,
    }
}

fn header(name: &str) -> Vec<Note> {
    match is_credential(name.as_bytes()) {
        true => needs(Need::Header(name.to_ascii_lowercase().replace('_', "-"))),
        false => Vec::new(),
    }
}

fn headers(found: &Use, rest: &[Step]) -> Vec<Note> {
    match member_of_result(rest) {
        Some(name) => header(name),
        None if found.how == How::Called => Vec::new(),
        None => dynamic("all request headers".to_owned(), HEADER_BY_NAME),
    }
}

fn credential(found: &Use, rest: &[Step]) -> Vec<Note> {
    match (member_of_result(rest), found.how) {
        (Some("id" | "consumer_id"), _) | (None, How::Called | How::Tested) => Vec::new(),
        (Some(name), _) => needs(Need::Credential(name.to_owned())),
        (None, _) => dynamic(
            "the client's whole credential".to_owned(),
            "the log object has its `id` and `consumer_id`, and the rest may be secret: read the members by their names, or \
             name them with --with _context.credential.NAME",
        ),
    }
}

fn shared(found: &Use, names: &[&str], rest: &[Step]) -> Vec<Note> {
    match rest.first() {
        Some(Step::Call(_)) => impossible(found, "a function cannot leave Kong"),
        _ if names.is_empty() && found.how == How::Tested => Vec::new(),
        _ => needs(Need::Shared(names.iter().map(|name| (*name).to_owned()).collect())),
    }
}

fn of_ngx(found: &Use, names: &[&str], rest: &[Step]) -> Vec<Note> {
    match names {
        [] | ["req" | "resp"] if found.how != How::Tested => dynamic(text_of(&found.path), HANDED_ON),
        ["req", "get_body_data" | "get_post_args"] => needs(Need::RequestBody),
        ["req", "get_body_file"] => {
            impossible(found, "the file is on Kong's machine, and only until the request has ended")
        }
        ["req", "get_headers"] => headers(found, rest),
        ["req", "http_version" | "raw_header"] => needs(Need::Fact(Fact::HttpVersion)),
        ["arg"] => needs(Need::ResponseBody),
        ["var", name, ..] => variable(name),
        ["var"] => dynamic(
            "a variable of nginx whose name is computed".to_owned(),
            "name each that the snippet can read with --with _context.vars.NAME",
        ),
        ["ctx"] if found.how == How::Tested => Vec::new(),
        ["ctx"] => dynamic(
            "a member of ngx.ctx whose name is computed, or all of it".to_owned(),
            "ngx.ctx holds Kong's own objects, too: name each that the snippet can read with --with _context.ngx_ctx.NAME",
        ),
        ["ctx", "authenticated_consumer_groups", ..] => needs(Need::Fact(Fact::ConsumerGroups)),
        ["ctx", "buffered_body" | "buffered_proxying", ..] => needs(Need::ServiceResponseBody),
        ["ctx", "router_matches", ..] => needs(Need::Fact(Fact::UriCaptures)),
        ["ctx", "buffered_status", ..] => needs(Need::Fact(Fact::ServiceStatus)),
        ["ctx", "buffered_headers", ..] => needs(Need::ServiceHeader(None)),
        ["ctx", known, ..] if crate::ngx::ctx::MEMBERS.contains(known) => Vec::new(),
        ["ctx", below @ ..] => match rest.first() {
            Some(Step::Call(_)) => impossible(found, "a function cannot leave Kong"),
            _ => needs(Need::NgxCtx(below.iter().map(|name| (*name).to_owned()).collect())),
        },
        [first, ..] if crate::ngx::is_outside(first) => impossible(found, CLOSED),
        _ => Vec::new(),
    }
}

/// Variables whose value the log object has.
const LOGGED: &str = " remote_addr binary_remote_addr request_method request_uri args query_string is_args request_length \
     request_id kong_request_id content_type content_length scheme host server_port https ssl_protocol ssl_cipher \
     ssl_client_verify status bytes_sent request_time msec time_iso8601 time_local upstream_status upstream_uri \
     upstream_addr ";

/// Variables that are derived from the log object, and can differ.
const DERIVED: [(&str, &str); 12] = [
    ("realip_remote_addr", "client_ip"),
    ("uri", "the path as the client sent it"),
    ("document_uri", "the path as the client sent it"),
    ("body_bytes_sent", "the response's Content-Length"),
    ("request_completion", "OK"),
    ("upstream_response_time", "latencies.proxy"),
    ("pid", "the id of Logphase's process"),
    ("nginx_version", "that of Kong 3.10"),
    ("pipe", "`.`"),
    ("kong_proxy_mode", "http"),
    ("server_protocol", "HTTP/1.1"),
    ("request", "HTTP/1.1 as its version"),
];

fn variable(name: &str) -> Vec<Note> {
    let logged = |name: &str| LOGGED.contains(&format!(" {name} "));
    match name {
        "request_body" => needs(Need::RequestBody),
        "remote_user" => needs(Need::Header("authorization".to_owned())),
        "server_protocol" | "request" | "http2" => needs(Need::Fact(Fact::HttpVersion)),
        "hostname" => needs(Need::Fact(Fact::Hostname)),
        _ if logged(name) => Vec::new(),
        _ if ["sent_http_", "arg_", "cookie_"].iter().any(|prefix| name.starts_with(prefix)) => Vec::new(),
        _ => match name.strip_prefix("http_") {
            Some(name) => header(name),
            None => needs(Need::Var(name.to_owned())),
        },
    }
}

pub(super) fn substitute_of_variable(name: &str) -> Option<&'static str> {
    if name.starts_with("upstream_http_") {
        return Some("the header of the response to the client");
    }
    DERIVED.iter().find(|(known, _)| *known == name).map(|(_, substitute)| *substitute)
}
