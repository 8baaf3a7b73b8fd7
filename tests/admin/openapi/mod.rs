//! The OpenAPI description of the Admin API, and the Admin API against it.
//!
//! `BLESS=1 cargo test --test main admin::openapi` writes docs/admin-api.openapi.json.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::{Admin, send};

/// The most requests per operation: over 2,000 in all, in half a minute.
const REQUESTS_PER_OPERATION: &str = "6";

/// Paths whose operations have few fields.
const BOUNDED: &str = "^/(consumers|consumer_groups|snis|vaults|keys|key-sets|acls|key-auths|jwts|tags|status|cache|debug/node/log-level)(/[^/]*)?$";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admin-api.openapi.json")
}

/// The packages of `requirements.txt`, downloaded if they are missing.
fn packages() -> &'static Path {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
        let fetch = Command::new(root.join(".ci/python"))
            .arg(root.join("tests/admin/openapi/requirements.txt"))
            .arg(built.join("schemathesis"))
            .output()
            .unwrap();
        assert!(fetch.status.success(), "{}", String::from_utf8_lossy(&fetch.stderr));
        String::from_utf8(fetch.stdout).unwrap().trim_end().into()
    })
}

/// Runs Python with the packages.
fn python(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new("python3");
    command.args(arguments).current_dir(directory);
    command.env("PYTHONPATH", packages()).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_COLOR", "1");
    // Proxies of this machine's environment are none of the test's.
    command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
    command.output().unwrap()
}

/// Scenario: a service is asked for its description. Guarantees: docs/admin-api.openapi.json is the same, and
/// openapi-spec-validator finds no fault in it.
#[test]
fn description_is_current_and_valid() {
    let admin = Admin::start();
    let described = admin.expect(200, "GET", "/openapi.json", None);
    let text = format!("{}\n", serde_json::to_string_pretty(&described).unwrap());
    if std::env::var_os("BLESS").is_some() {
        fs::write(page(), text).unwrap();
    } else {
        let help = "is not up to date: run BLESS=1 cargo test --test main admin::openapi";
        assert!(fs::read_to_string(page()).unwrap_or_default() == text, "docs/admin-api.openapi.json {help}");
    }
    let checked = python(&["-m", "openapi_spec_validator", page().to_str().unwrap()], Path::new("."));
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

/// Sends the examples of bodies in the description to their collections. Returns how many there were.
fn send_examples(admin: &Admin) -> usize {
    let described = admin.expect(200, "GET", "/openapi.json", None);
    let mut sent = 0;
    for (path, item) in described["paths"].as_object().unwrap() {
        let body = &item["post"]["requestBody"]["content"]["application/json"];
        let path = path.replace("{upstreams}", "orders.upstream");
        let Some(example) = body.get("example").filter(|_| !path.contains('{')) else { continue };
        admin.expect(201, "POST", &path, Some(example.clone()));
        sent += 1;
    }
    sent
}

/// Scenario: the examples of new entities in the description are sent to a service without entities. Guarantees: each is accepted.
#[test]
fn examples_are_accepted() {
    let sent = send_examples(&Admin::start());
    assert!(sent >= 9, "{sent} examples");
}

/// Runs schemathesis against `admin` with `arguments`. No answer may be a server error, and each must be one that the description has: its
/// status, its content type, its body. Nothing may panic.
fn run_schemathesis(admin: &mut Admin, arguments: &[&str]) {
    let program = packages().join("bin/schemathesis");
    let url = format!("http://127.0.0.1:{}/openapi.json", admin.port);
    let first = [
        program.to_str().unwrap(),
        "run",
        &url,
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--seed",
        "1",
        // With more threads, CPython 3.11 fails in `ast.parse` at times.
        "--workers",
        "1",
        "--generation-database",
        "none",
        "--no-shrink",
        "--continue-on-failure",
        // Slow machines make slow requests, and random data is rarely valid: neither is a fault.
        "--suppress-health-check",
        "all",
        "--warnings",
        "off",
    ];
    let ran = python(&[&first[..], arguments].concat(), &admin.service.home.path(""));
    let printed = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{printed}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(!admin.service.has_logged("panicked"), "{}", admin.service.log());
    assert!(admin.service.is_running());
    let answer = send(admin.port, "GET", "/status", "", b"").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Scenario: schemathesis makes requests for every operation of the description, valid and invalid ones, to a service with some
/// entities in its database. Guarantees: every answer is as described, and none is a server error.
#[test]
fn answers_are_as_described() {
    let mut admin = Admin::start();
    send_examples(&admin);
    run_schemathesis(&mut admin, &["--phases", "examples,fuzzing", "--max-examples", REQUESTS_PER_OPERATION]);
    let status = admin.expect(200, "GET", "/status", None);
    assert_eq!(status["database"]["reachable"], true);
}

/// Scenario: the same for each boundary of each parameter and field, for operations with few fields: those with many have so many boundaries that
/// they take hours. Guarantees: every answer is as described, and none is a server error.
#[test]
fn boundaries_are_as_described() {
    let mut admin = Admin::start();
    send_examples(&admin);
    run_schemathesis(&mut admin, &["--phases", "coverage", "--include-path-regex", BOUNDED]);
}

/// Scenario: requests for every operation, and for the boundaries of some, to a service without a database, whose entities are in a file.
/// Guarantees: every answer is as described, and none is a server error.
#[test]
fn answers_without_a_database_are_as_described() {
    let kong_yml = include_str!("../requests/file/nested.yml");
    let mut admin = Admin::of_file(kong_yml);
    run_schemathesis(&mut admin, &["--phases", "examples,fuzzing", "--max-examples", "2"]);
    run_schemathesis(&mut admin, &["--phases", "coverage", "--include-path-regex", BOUNDED]);
}
