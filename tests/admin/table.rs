//! The table of requests and Kong's answers, in `requests/`.
//!
//! A file is for one service. `>` begins a request: method and path, below it headers, and a body, which is JSON if it begins like it and a form
//! otherwise. `<` is the answer: its status and, on the same line or below, its body as JSON. The body of an error is the whole body; that of
//! another answer has at least these members, and lists have these elements. `$name` in a body of an answer keeps a text, which `{name}`
//! in later requests and answers stands for; the text `*` stands for anything. `!` before a member means that the answer has no such member.
//! Headers below a status are those that the answer has at least. `@N(text)` in a request stands for `text`, N times. The lines of a body
//! are sent as lines, which end as HTTP's do in a body of several parts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use serde_json::Value;

use super::{Admin, send};
use crate::service::Authority;

/// One request and its answer.
#[derive(Default)]
struct Row {
    line: usize,
    request: String,
    headers: Vec<String>,
    body: String,
    status: u16,
    answer_headers: Vec<String>,
    answer: String,
}

fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut in_answer = false;
    for (at, line) in text.lines().enumerate() {
        if let Some(request) = line.strip_prefix("> ") {
            rows.push(Row { line: at + 1, request: request.to_owned(), ..Row::default() });
            in_answer = false;
            continue;
        }
        let Some(row) = rows.last_mut().filter(|_| !line.starts_with('#')) else { continue };
        if let Some(answer) = line.strip_prefix("< ") {
            let (status, body) = answer.split_once(' ').unwrap_or((answer, ""));
            row.status = status.parse().unwrap_or_else(|_| panic!("line {}: no status", at + 1));
            body.clone_into(&mut row.answer);
            in_answer = true;
        } else if in_answer && row.answer.is_empty() && is_header(line) {
            row.answer_headers.push(line.to_owned());
        } else if in_answer {
            row.answer.push_str(line);
        } else if row.body.is_empty() && is_header(line) {
            row.headers.push(line.to_owned());
        } else {
            let several_parts = row.headers.iter().any(|header| header.contains("multipart/"));
            let end = if several_parts { "\r\n" } else { "\n" };
            if !row.body.is_empty() {
                row.body.push_str(end);
            }
            row.body.push_str(line);
        }
    }
    rows
}

fn is_header(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

type Kept = BTreeMap<String, String>;

/// `text` with the kept texts in place of their names.
fn filled(text: &str, kept: &Kept) -> String {
    kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// `text` with each `@N(text)` written out.
fn repeated(text: &str) -> String {
    let Some((before, count, what, after)) = text.find('@').and_then(|at| {
        let (count, rest) = text[at + 1..].split_once('(')?;
        let (what, after) = rest.split_once(')')?;
        Some((&text[..at], count.parse::<usize>().ok()?, what, after))
    }) else {
        return text.to_owned();
    };
    format!("{before}{}{}", what.repeat(count), repeated(after))
}

/// Why `found` is not as `expected`.
fn difference(path: &str, expected: &Value, found: &Value, whole: bool, kept: &mut Kept) -> Option<String> {
    match (expected, found) {
        (Value::String(any), _) if any == "*" => None,
        (Value::String(name), Value::String(text)) if name.starts_with('$') => {
            kept.insert(name[1..].to_owned(), text.clone());
            None
        }
        (Value::Object(wanted), Value::Object(members)) => {
            for (name, wanted) in wanted {
                if let Some(absent) = name.strip_prefix('!') {
                    if members.contains_key(absent) {
                        return Some(format!("{path}.{absent} is there"));
                    }
                    continue;
                }
                let Some(member) = members.get(name) else { return Some(format!("{path}.{name} is missing")) };
                let below = difference(&format!("{path}.{name}"), wanted, member, whole, kept);
                if below.is_some() {
                    return below;
                }
            }
            let unknown = members.keys().find(|name| !wanted.contains_key(*name));
            unknown.filter(|_| whole).map(|name| format!("{path}.{name} is not expected"))
        }
        (Value::Array(wanted), Value::Array(items)) if wanted.len() == items.len() => {
            let pairs = wanted.iter().zip(items).enumerate();
            let mut pairs = pairs.map(|(at, (wanted, item))| (format!("{path}[{at}]"), wanted, item));
            pairs.find_map(|(path, wanted, item)| difference(&path, wanted, item, whole, kept))
        }
        (Value::String(expected), Value::String(text)) if filled(expected, kept) == *text => None,
        _ if expected == found => None,
        _ => Some(format!("{path}: expected {expected}, found {found}")),
    }
}

fn check(row: &Row, port: u16, kept: &mut Kept) -> Result<(), String> {
    let request = repeated(&filled(&row.request, kept));
    let (method, path) = request.split_once(' ').expect("a method and a path");
    let body = repeated(&filled(&row.body, kept));
    let mut headers: String = row.headers.iter().map(|header| format!("{header}\r\n")).collect();
    if !body.is_empty() && !headers.to_ascii_lowercase().contains("content-type:") {
        let json = body.starts_with(['{', '[']);
        let kind = if json { "application/json" } else { "application/x-www-form-urlencoded" };
        headers.push_str(&format!("Content-Type: {kind}\r\n"));
    }
    let headers = headers.replace("Content-Type: none\r\n", "");
    let answer = send(port, method, path, &headers, body.as_bytes()).map_err(|error| error.to_string())?;
    if answer.status != row.status {
        return Err(format!("status {} and not {}: {}", answer.status, row.status, answer.text()));
    }
    for (name, value) in row.answer_headers.iter().filter_map(|header| header.split_once(": ")) {
        let (found, value) = (answer.header(&name.to_ascii_lowercase()), value.to_ascii_lowercase());
        if found.is_none_or(|found| value != "*" && found != value) {
            return Err(format!("{name}: {found:?} and not {value}"));
        }
    }
    let expected = filled(&row.answer, kept);
    if expected.is_empty() {
        if matches!(row.status, 204 | 304) && !answer.body.is_empty() {
            return Err(format!("a body: {}", answer.text()));
        }
        return Ok(());
    }
    let expected: Value = serde_json::from_str(&expected).map_err(|error| format!("the table: {error}"))?;
    let found: Value = serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", answer.text()))?;
    match difference("", &expected, &found, row.status >= 400, kept) {
        Some(difference) => Err(format!("{difference}\n    {}", answer.text())),
        None => Ok(()),
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/admin/requests").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files
}

/// Texts in PEM for the requests, as parts of texts in JSON: a certificate with its key, the key of another one, and certificates of authorities,
/// one of which is out of date.
fn certificates() -> Kept {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let mut old = CertificateParams::new(Vec::new()).unwrap();
    old.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    old.not_after = date_time_ymd(2001, 1, 1);
    let old = old.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let texts = [
        ("pem_cert", certificate),
        ("pem_key", key),
        ("pem_other_key", authority.issue("localhost").1),
        ("pem_ca", authority.pem()),
        ("pem_old_ca", old),
    ];
    texts.map(|(name, pem)| (name.to_owned(), pem.replace("\r\n", "\n").replace('\n', "\\n"))).into()
}

/// Checks a file against `admin`. Returns what differs, and how many requests there were.
fn run(file: &Path, admin: &Admin) -> (Vec<String>, usize) {
    let text = fs::read_to_string(file).unwrap();
    let mut kept = certificates();
    kept.insert("home".to_owned(), admin.service.home.text(""));
    let rows = rows(&text);
    let wrong = rows.iter().filter_map(|row| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let error = check(row, admin.port, &mut kept).err()?;
        Some(format!("{name}:{}: {}\n    {error}", row.line, row.request))
    });
    (wrong.collect(), rows.len())
}

/// Scenario: over 250 requests, each with the answer that Kong's specs and source give: schema violations, unknown fields, conflicts,
/// references, pages, methods, encodings, defaults of plugins; with a database and without one. Guarantees: every answer is Kong's, errors to
/// the byte.
#[test]
fn answers_are_kongs() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for file in files("database") {
        let (found, rows) = run(&file, &Admin::start());
        wrong.extend(found);
        count += rows;
    }
    for file in files("file") {
        let kong_yml = fs::read_to_string(file.with_extension("yml")).unwrap();
        let (found, rows) = run(&file, &Admin::of_file(&kong_yml));
        wrong.extend(found);
        count += rows;
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 250, "{count} requests");
}
