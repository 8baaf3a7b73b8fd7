//! Several nodes on one database of PostgreSQL.

mod away;
mod concurrent;
mod refused;
mod secrets;
mod server;

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use self::server::Postgres;
use super::{Admin, send};
use crate::service::{Home, Scrape, free_port, transaction, wait_until, whole_lines};

/// A database, and a folder that the plugins of all nodes may write.
struct Cluster {
    server: Postgres,
    files: TempDir,
}

impl Cluster {
    fn start() -> Self {
        Self { server: Postgres::start(free_port()), files: TempDir::new().unwrap() }
    }

    /// The settings of a node.
    fn home(&self) -> Home {
        Home::new()
            .set("LOGPHASE_DATABASE", "postgres")
            .set("LOGPHASE_DATABASE_URL", self.server.url())
            .set("LOGPHASE_CONFINEMENT_PATHS", self.files.path().to_str().unwrap())
            .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{}", free_port()))
    }

    /// A node that runs.
    fn node(&self) -> Admin {
        Admin::with_database(self.home())
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    /// A plugin that writes a field `said` to the file `name`.
    fn plugin(&self, name: &str, said: &str) -> Value {
        let fields = json!({"said": format!("return '{said}'")});
        json!({"name": "file-log", "config": {"path": self.file(name), "reopen": true, "custom_fields_by_lua": fields}})
    }
}

/// Its metrics.
fn scrape(node: &Admin) -> Scrape {
    let port = node.service.home.variable("LOGPHASE_STATUS_LISTEN").rsplit_once(':').unwrap().1.parse().unwrap();
    Scrape::of(port)
}

fn is_reachable(node: &Admin) -> bool {
    node.expect(200, "GET", "/status", None)["database"]["reachable"] == true
}

/// The status of an answer to `GET path`.
fn status(node: &Admin, path: &str) -> u16 {
    send(node.port, "GET", path, "", b"").unwrap().status
}

/// All entities of a kind, by id.
fn all(node: &Admin, path: &str) -> Vec<Value> {
    let mut list = node.expect(200, "GET", &format!("{path}?size=1000"), None)["data"].as_array().unwrap().clone();
    list.sort_by_key(|entity| entity["id"].to_string());
    list
}

/// Waits until a transaction at `node` is logged with the field `said`.
fn await_logged(node: &Admin, file: &str, said: &str) {
    wait_until(&format!("a transaction is logged with {said}"), || {
        node.service.accept(transaction(1).to_string());
        let text = std::fs::read_to_string(Path::new(file)).unwrap_or_default();
        whole_lines(&text).iter().any(|message: &Value| message["said"] == said)
    });
}

/// Scenario: two nodes are started at once on an empty database; each changes what the other has made; a notification is lost, since
/// SQL changes a row and tells nobody; the connections of both nodes are ended. Guarantees: each change becomes active on the other
/// node, in messages, too, and no node takes the database for being away; the metrics are there.
#[test]
fn nodes_take_changes_over() {
    let cluster = Cluster::start();
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| cluster.node());
        (one.join().unwrap(), cluster.node())
    });
    let made = one.expect(201, "POST", "/plugins", Some(cluster.plugin("a.log", "first")));
    let path = format!("/plugins/{}", made["id"].as_str().unwrap());
    wait_until("the other node has the plugin", || status(&other, &path) == 200);
    await_logged(&other, &cluster.file("a.log"), "first");
    let change = json!({"config": {"custom_fields_by_lua": {"said": "return 'second'"}}});
    other.expect(200, "PATCH", &path, Some(change));
    await_logged(&one, &cluster.file("a.log"), "second");
    let silent = "BEGIN;
        UPDATE logphase_entities SET updated = (SELECT revision + 1 FROM logphase_store),
            entity = convert_to(replace(convert_from(entity, 'UTF8'), 'second', 'third'), 'UTF8') WHERE kind = 'plugins';
        UPDATE logphase_store SET revision = revision + 1;
        COMMIT";
    cluster.server.sql(silent);
    for node in [&one, &other] {
        let said = || node.expect(200, "GET", &path, None)["config"]["custom_fields_by_lua"]["said"].clone();
        wait_until("the change is there without a notification", || said() == "return 'third'");
    }
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'logphase'";
    assert_eq!(cluster.server.sql(end), "4");
    one.expect(201, "POST", "/consumers", Some(json!({"username": "u"})));
    wait_until("the other node has the consumer", || status(&other, "/consumers/u") == 200);
    assert_eq!(one.expect(204, "DELETE", "/consumers/u", None), Value::Null);
    wait_until("the other node has deleted the consumer", || status(&other, "/consumers/u") == 404);
    for node in [&one, &other] {
        assert!(is_reachable(node));
        let scrape = scrape(node);
        let of = |name: &str| scrape.sum(&format!("logphase_database_{name}"), &[]);
        wait_until("both have seen the last revision", || of("revision") >= 5.0);
        assert_eq!((of("reachable"), of("failures_total")), (1.0, 0.0));
        assert_eq!(of("revision"), of("active_revision"));
    }
    assert_eq!(one.expect(200, "GET", "/", None)["configuration"]["database"], "postgres");
}

/// Scenario: `config import` into the database while two nodes run, without and with `--replace`; `config export`. Guarantees: entities are not
/// replaced by accident; both nodes take over what is imported; the export has it.
#[test]
fn a_file_is_imported_while_nodes_run() {
    let cluster = Cluster::start();
    let nodes = [cluster.node(), cluster.node()];
    nodes[0].expect(201, "POST", "/consumers", Some(json!({"username": "before"})));
    let home = cluster.home();
    home.write(
        "kong.yml",
        "_format_version: '3.0'\nconsumers:\n- username: imported\nservices:\n- name: s\n  host: h\n",
    );
    let refused = home.run(&["config", "import", "kong.yml"], b"");
    assert_eq!(refused.code(), 78);
    assert!(refused.stderr.contains("the database has 1 entities already"), "{}", refused.stderr);
    let imported = home.run(&["config", "import", "--replace", "kong.yml"], b"");
    assert_eq!(imported.code(), 0, "{}", imported.stderr);
    for node in &nodes {
        wait_until("the node has what is imported", || status(node, "/consumers/imported") == 200);
        assert_eq!((status(node, "/consumers/before"), status(node, "/services/s")), (404, 200));
    }
    let exported = home.run(&["config", "export"], b"");
    assert!(exported.stdout.contains("username: \"imported\""), "{}{}", exported.stdout, exported.stderr);
    nodes[1].expect(201, "POST", "/services/s/routes", Some(json!({"paths": ["/x"]})));
    wait_until("the route is on the other node", || all(&nodes[0], "/routes").len() == 1);
}
