//! Stores in PostgreSQL.

use std::cell::Cell;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::super::News;
use super::super::postgres::VERSION;
use super::properties::{steps, take};
use super::{Change, Contents, Location, Store, StoreError, commit_and_reopen, delete, key, put, row};
use crate::options::postgres::PostgresUrl;

#[path = "../../../../tests/service/ports.rs"]
mod ports;
#[path = "../../../../tests/admin/postgres/server.rs"]
#[allow(dead_code, clippy::unwrap_used, clippy::print_stderr, reason = "the tests of the program use it, too")]
mod server;

/// What the tables of each format are; all hold the same two rows.
const FIXTURES: [&str; 1] = ["CREATE TABLE logphase_store (
        id integer PRIMARY KEY CHECK (id = 1), format integer NOT NULL, revision bigint NOT NULL, removed bigint NOT NULL, key text
    );
    INSERT INTO logphase_store VALUES (1, 1, 0, 0, NULL);
    CREATE TABLE logphase_entities (
        kind text COLLATE \"C\" NOT NULL, id text COLLATE \"C\" NOT NULL, entity bytea, updated bigint NOT NULL,
        PRIMARY KEY (kind, id)
    );
    CREATE INDEX logphase_entities_updated ON logphase_entities (updated);
    INSERT INTO logphase_entities VALUES ('routes', 'r', '{\"paths\":[\"/\"]}', 0), ('services', 's', '{}', 0);"];

/// A server, each of whose schemas is a database of its own.
struct Server(server::Postgres);

impl Server {
    fn start() -> Self {
        Self(server::Postgres::start(ports::free_port()))
    }

    /// A new schema.
    fn location(&self, schema: &str) -> Location {
        self.0.sql(&format!("CREATE SCHEMA {schema}"));
        let url = format!("{}?options=-c%20search_path%3D{schema}", self.0.url());
        Location::Server(Box::new(PostgresUrl::parse(&url).expect("a URL")))
    }
}

fn open(location: &Location) -> (Store, Contents) {
    Store::open(location.clone(), None).expect("a store")
}

fn is_outdated<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Outdated { .. }))
}

/// Scenario: what the tests of files do: commits of all kinds, and random histories with changing keys. Guarantees: a store in PostgreSQL is
/// the same map.
#[test]
fn a_store_in_postgresql_is_one() {
    let server = Server::start();
    commit_and_reopen(&server.location("commits"));
    let cases = Cell::new(0);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(12) });
    let taken = runner.run(&steps(), |steps| {
        cases.set(cases.get() + 1);
        take(steps, &server.location(&format!("case{}", cases.get())))
    });
    taken.expect("a map");
}

/// Scenario: two nodes have a store; each commits, with and without knowing what the other one has done. Guarantees: a commit on an old
/// revision is refused and changes nothing; what is new is what has changed since, each entity once; a replacement is everything; so is the first
/// news of a new connection.
#[test]
fn nodes_learn_what_has_changed() {
    let server = Server::start();
    let location = server.location("nodes");
    let ((mut one, _), (mut other, _)) = (open(&location), open(&location));
    assert_eq!(one.news(false).expect("there"), None);
    one.commit(&[put("a", "1", json!({"x": 1})), put("a", "2", json!({}))]).expect("the newest");
    one.commit(&[put("a", "1", json!({"x": 2})), put("a", "3", json!({})), delete("a", "2")]).expect("the newest");
    assert!(is_outdated(other.commit(&[put("b", "1", json!({}))])));
    assert!(is_outdated(other.replace(&[])));
    let Some(News::Changes(mut changes)) = other.news(false).expect("there") else { panic!("changes") };
    changes.sort_by_key(|change| format!("{change:?}"));
    let mut expected = vec![put("a", "1", json!({"x": 2})), delete("a", "2"), put("a", "3", json!({}))];
    expected.sort_by_key(|change: &Change| format!("{change:?}"));
    assert_eq!(changes, expected);
    assert_eq!((other.news(false).expect("there"), other.revision()), (None, 2));
    assert_eq!(other.commit(&[put("b", "1", json!({}))]).expect("the newest"), 3);
    one.news(false).expect("there");
    one.replace(&[row("c", "1", json!({}))]).expect("the newest");
    assert_eq!(other.news(false).expect("there"), Some(News::Everything(vec![row("c", "1", json!({}))])));
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'logphase'";
    server.0.sql(sql);
    assert_eq!(other.news(false).expect("there"), Some(News::Everything(vec![row("c", "1", json!({}))])));
    let (_, found) = Store::open(location.clone(), Some(key(1))).expect("encrypted");
    assert_eq!((found.rows.len(), found.revision), (1, 5));
    assert!(matches!(other.news(false), Err(StoreError::MissingKey { .. })));
}

/// Scenario: a node holds the store while another one commits; then it commits, or gives up. Guarantees: the other one waits, and is outdated or
/// commits.
#[test]
fn a_node_that_holds_is_first() {
    let server = Server::start();
    let location = server.location("nodes");
    for commits in [true, false] {
        let ((mut one, found), (mut other, _)) = (open(&location), open(&location));
        assert_eq!(one.news(true).expect("there"), None);
        let (done, result) = mpsc::channel();
        let waiting = thread::spawn(move || done.send(other.commit(&[put("a", "other", json!({}))])));
        assert!(result.recv_timeout(Duration::from_millis(300)).is_err(), "it waits");
        if commits {
            assert_eq!(one.commit(&[put("a", "one", json!({}))]).expect("it holds"), found.revision + 1);
        } else {
            one.release();
        }
        let other = result.recv().expect("an answer");
        assert_eq!(is_outdated(other), commits);
        waiting.join().expect("it ends").expect("sent");
    }
}

/// Scenario: over a thousand commits delete rows, while a node does not look. Guarantees: rows that were deleted long ago are removed; the node
/// reads everything, and what it knows is right.
#[test]
fn deleted_rows_are_removed_in_the_end() {
    let server = Server::start();
    let location = server.location("nodes");
    let ((mut one, _), (mut late, _)) = (open(&location), open(&location));
    one.commit(&[put("a", "stays", json!({}))]).expect("the newest");
    for number in 0..700 {
        let id = number.to_string();
        one.commit(&[put("a", &id, json!({}))]).expect("the newest");
        one.commit(&[delete("a", &id)]).expect("the newest");
    }
    let left: u64 = server.0.sql("SELECT count(*) FROM nodes.logphase_entities").parse().expect("a number");
    assert!((2..700).contains(&left), "{left}");
    assert_eq!(late.news(false).expect("there"), Some(News::Everything(vec![row("a", "stays", json!({}))])));
}

/// Scenario: tables of each format; tables of a later one; four nodes that start at once on an empty schema, eight times. Guarantees: the rows are there, and the
/// tables are then those of a new store; the later one is refused; all four nodes start.
#[test]
fn every_format_is_converted() {
    assert_eq!(FIXTURES.len(), usize::try_from(VERSION).expect("few"), "a fixture for each format");
    let server = Server::start();
    for number in 0..8 {
        let new = server.location(&format!("new{number}"));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| open(&new));
            }
        });
    }
    let fresh = server.location("fresh");
    drop(open(&fresh));
    let columns = |schema: &str| {
        let sql =
            "SELECT table_name, column_name, data_type, is_nullable, collation_name FROM information_schema.columns";
        let columns = server.0.sql(&format!("{sql} WHERE table_schema = '{schema}' ORDER BY 1, 2"));
        let sql = "SELECT indexdef FROM pg_indexes WHERE schemaname";
        columns + &server.0.sql(&format!("{sql} = '{schema}' ORDER BY 1")).replace(schema, "")
    };
    for (number, fixture) in FIXTURES.iter().enumerate() {
        let schema = format!("format{number}");
        let location = server.location(&schema);
        server.0.sql(&format!("SET search_path = {schema}; {fixture}"));
        let (mut store, found) = open(&location);
        let rows = vec![row("routes", "r", json!({"paths": ["/"]})), row("services", "s", json!({}))];
        assert_eq!(found.rows, rows);
        store.commit(&[delete("routes", "r")]).expect("the newest");
        assert_eq!(open(&location).1.rows, rows[1..]);
        assert_eq!(columns(&schema), columns("fresh"));
    }
    server.0.sql(&format!("UPDATE fresh.logphase_store SET format = {}", VERSION + 1));
    assert!(matches!(Store::open(fresh.clone(), None), Err(StoreError::Newer { .. })));
    assert!(matches!(Store::read(fresh, None), Err(StoreError::Newer { .. })));
}
