//! What finding the route of a transaction costs, with 100, 1,000 and 10,000 routes: the time of each transaction by itself,
//! from the parsed transaction to the one with `route` and `service`.
//!
//! "mixed" has routes of every kind, each request for another one. "regex" has routes that only a regular expression
//! without a literal start tells apart, so that nothing can be left out: "cached" asks for 1,000 different paths again and
//! again, "distinct" for another path each time, which is what Kong's own search costs.
//!
//! `cargo bench --bench router` (or `make bench`).

#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![allow(missing_docs, reason = "a benchmark has no callers")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use logphase::declarative::{self, ReadOptions};
use logphase::router::{Options, RouteFinder, Router};
use logphase_config::diagnostic::SourceFile;
use logphase_script::transaction::{Limits, Transaction};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Transactions of a row.
const TRANSACTIONS: usize = 20_000;
/// What the median of a transaction with 10,000 mixed routes may cost.
const TARGET: Duration = Duration::from_micros(10);

fn main() {
    // `cargo test` also runs benchmarks, with `--test`; this one contains no tests.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("{:<26} {:>10} {:>10} {:>10} {:>12} {:>8}", "routes", "median", "90 %", "99 %", "built in", "found");
    for count in [100, 1_000, 10_000] {
        let requests: Vec<_> = (0..TRANSACTIONS).map(|number| mixed_request(mix(number) % count)).collect();
        let median = row(&format!("{count} mixed"), (0..count).map(mixed_route).collect(), &requests);
        if count == 10_000 {
            let verdict = if median <= TARGET { "within" } else { "OVER" };
            println!("{:<26} {verdict} the target of {TARGET:?}", "");
        }
    }
    let regex = |number: usize| json!({"name": format!("r{number}"), "paths": [format!("~/[a-z]+/{number}/\\d+$")]});
    let path = |number: usize, id: usize| request("GET", "api.example.com", &format!("/item/{number}/{id}"), "");
    let cached: Vec<_> = (0..TRANSACTIONS).map(|number| path(mix(number) % 1_000, 7)).collect();
    row("10000 regex, cached", (0..10_000).map(regex).collect(), &cached);
    let distinct: Vec<_> = (0..500).map(|number| path(mix(number) % 10_000, number)).collect();
    row("10000 regex, distinct", (0..10_000).map(regex).collect(), &distinct);
}

/// Measures `requests` after a warm-up, prints a row and returns the median.
fn row(name: &str, routes: Vec<Value>, requests: &[Bytes]) -> Duration {
    let file = json!({"_format_version": "3.0", "services": [{"name": "s", "host": "h", "routes": routes}]});
    let source = SourceFile::new("bench.json", file.to_string());
    let (configuration, found) = declarative::read(&[source], ReadOptions { select_tags: &[], env: &|_| None });
    assert!(found.is_empty(), "{found:?}");
    let begin = Instant::now();
    let (router, errors) = Router::new(&configuration, Options::default());
    let built = begin.elapsed();
    assert!(errors.is_empty(), "{errors:?}");
    let mut finder = RouteFinder::new(Arc::new(router));
    let limits = Limits::default();
    let (mut times, mut given) = (Vec::with_capacity(requests.len()), 0);
    for (number, bytes) in requests.iter().take(requests.len() / 10).chain(requests).enumerate() {
        let mut transaction = Transaction::parse(bytes.clone(), &limits).expect("a sound transaction");
        let start = Instant::now();
        let found = finder.fill(&mut transaction).is_some();
        let took = start.elapsed();
        if number >= requests.len() / 10 {
            times.push(took);
            given += usize::from(found);
        }
    }
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let share = 100 * given / requests.len();
    println!("{name:<26} {:>10.2?} {:>10.2?} {:>10.2?} {built:>12.0?} {share:>6} %", at(50), at(90), at(99));
    at(50)
}

/// A number that looks random and is the same in each run.
fn mix(number: usize) -> usize {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) & 0xff_ffff
}

/// Route number `number`, of one of eight kinds.
fn mixed_route(number: usize) -> Value {
    let name = format!("route-{number}");
    let tenant = number % 97;
    match number % 8 {
        0 => json!({"name": name, "paths": [format!("/api/v1/resource-{number}")]}),
        1 => json!({"name": name, "hosts": [format!("host-{number}.example.com")]}),
        2 => json!({"name": name, "hosts": [format!("t{tenant}.example.com")], "paths": [format!("/p{number}")]}),
        3 => json!({"name": name, "paths": [format!("~/api/v2/resource-{number}/\\d+$")]}),
        4 => json!({"name": name, "hosts": [format!("*.zone-{number}.example.com")], "paths": ["/"]}),
        5 => {
            json!({"name": name, "methods": ["GET", "POST"], "paths": [format!("/m/{number}"), format!("/mm/{number}")]})
        }
        6 => json!({"name": name, "headers": {"X-Tenant": [format!("tenant-{number}")]}}),
        _ => {
            json!({"name": name, "hosts": ["shared.example.com"], "paths": [format!("~/shared/{number}/(?<id>\\w+)")]})
        }
    }
}

/// A request for route number `number`.
fn mixed_request(number: usize) -> Bytes {
    let tenant = number % 97;
    match number % 8 {
        0 => request("GET", "api.example.com", &format!("/api/v1/resource-{number}/items?limit=10"), ""),
        1 => request("GET", &format!("host-{number}.example.com"), "/a%20path/with/segments", ""),
        2 => request("POST", &format!("t{tenant}.example.com"), &format!("/p{number}/x"), ""),
        3 => request("GET", "api.example.com", &format!("/api/v2/resource-{number}/42"), ""),
        4 => request("GET", &format!("a.zone-{number}.example.com"), "/index.html", ""),
        5 => request("POST", "api.example.com", &format!("/mm/{number}"), ""),
        6 => request("GET", "api.example.com", "/anything", &format!("tenant-{number}")),
        _ => request("GET", "shared.example.com", &format!("/shared/{number}/abc"), ""),
    }
}

/// A log object of about 2 kB without route and service.
fn request(method: &str, host: &str, uri: &str, tenant: &str) -> Bytes {
    let sample: Value =
        serde_json::from_str(include_str!("../tests/conformance/003-header-added.json")).expect("a case");
    let mut transaction = sample["transaction"].clone();
    let members = transaction.as_object_mut().expect("an object");
    members.remove("route");
    members.remove("service");
    let request = &mut transaction["request"];
    request["method"] = method.into();
    request["uri"] = uri.into();
    request["url"] = format!("http://{host}:80{uri}").into();
    request["headers"]["host"] = host.into();
    if !tenant.is_empty() {
        request["headers"]["x-tenant"] = tenant.into();
    }
    Bytes::from(transaction.to_string())
}
