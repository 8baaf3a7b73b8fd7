//! What a node refuses: databases that it cannot use, and configurations of other nodes.

use serde_json::json;

use super::{Admin, Cluster, await_logged, is_reachable, scrape, send, status};
use crate::service::{Signal, free_port, wait_until};

/// Scenario: the settings name a database without a URL, with a wrong one, on a host that does not exist, on a port without a server, with a
/// wrong password, under a name that does not exist, and one whose user may not create tables. Guarantees: the start and `config export` are
/// refused, each with its reason and what to do; no message has the password.
#[test]
fn wrong_settings_are_refused_clearly() {
    let cluster = Cluster::start();
    cluster.server.sql("CREATE ROLE guest LOGIN PASSWORD 'guest'");
    let url = cluster.server.url();
    let port = format!(":{}/", cluster.server.port);
    for (url, reason) in [
        (String::new(), "set `database_url` (LOGPHASE_DATABASE_URL)"),
        (url.replace("postgres:", "mysql:"), "it does not begin with postgres://"),
        (format!("{url}?sslmode=allow"), "sslmode is none of disable, prefer, require, verify-ca, verify-full"),
        (url.replace("127.0.0.1", "nowhere.invalid"), "failed to lookup address information"),
        (url.replace(&port, &format!(":{}/", free_port())), "Connection refused"),
        (
            url.replace("pa55word", "pa55wrong"),
            "password authentication failed for user \"logphase\"; check user and password",
        ),
        (format!("{url}_missing"), "database \"logphase_missing\" does not exist; create the database"),
        (
            url.replace("logphase:pa55word", "guest:guest"),
            "permission denied for schema public; make the user the owner",
        ),
        (format!("{url}?sslmode=require"), "server does not support TLS"),
        (
            format!("{url}?sslmode=verify-full&sslrootcert=/missing.pem"),
            "cannot read the trusted certificates in /missing.pem",
        ),
    ] {
        let mut home = cluster.home();
        home.change("LOGPHASE_DATABASE_URL", &url);
        for command in [&["run"][..], &["config", "export"]] {
            let refused = home.run(command, b"");
            assert_eq!(refused.code(), 78, "{url} {command:?}: {}", refused.stderr);
            let text = refused.stderr.replace('\n', " ");
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            // Only a node creates tables.
            if command[0] == "run" || !reason.starts_with("permission") {
                assert!(text.contains(reason), "{url} {command:?}: {}", refused.stderr);
            }
            assert!(!text.contains("pa55w"), "{}", refused.stderr);
        }
    }
}

/// Scenario: a node makes a plugin that writes to a folder that another node may not write; then it changes the plugin. Guarantees: the other node
/// refuses the first, loudly, and goes on with the configuration before, while its Admin API shows what is in the database; it takes the
/// second over.
#[test]
fn a_configuration_that_a_node_cannot_use_leaves_the_active_one() {
    let cluster = Cluster::start();
    let own = tempfile::TempDir::new().unwrap();
    let paths = format!("{},{}", cluster.files.path().display(), own.path().display());
    let one = Admin::with_database(cluster.home().set("LOGPHASE_CONFINEMENT_PATHS", paths));
    let other = cluster.node();
    let made = one.expect(201, "POST", "/plugins", Some(cluster.plugin("a.log", "first")));
    await_logged(&other, &cluster.file("a.log"), "first");
    let path = format!("/plugins/{}", made["id"].as_str().unwrap());
    let beyond = own.path().join("b.log").to_str().unwrap().to_owned();
    let change = json!({"config": {"path": beyond, "custom_fields_by_lua": {"said": "return 'second'"}}});
    one.expect(200, "PATCH", &path, Some(change));
    let of = |name: &str| scrape(&other).sum(&format!("logphase_database_{name}"), &[]);
    wait_until("the other node refuses it", || of("revision") == 2.0);
    assert_eq!((of("active_revision"), of("reachable"), of("copy_revision")), (1.0, 1.0, 1.0));
    assert!(other.service.has_logged("this node refuses the configuration of revision 2"), "{}", other.service.log());
    assert!(other.service.has_logged("file-log may not write"), "{}", other.service.log());
    assert_eq!(other.expect(200, "GET", &path, None)["config"]["path"], beyond);
    await_logged(&one, &beyond, "second");
    other.service.accept(crate::service::transaction(9).to_string());
    wait_until("the other node logs as before", || {
        let text = std::fs::read_to_string(cluster.file("a.log")).unwrap();
        text.lines().any(|line| line.contains("\"id\":\"9\"") && line.contains("first"))
    });
    let change = json!({"config": {"path": cluster.file("c.log")}});
    one.expect(200, "PATCH", &path, Some(change));
    await_logged(&other, &cluster.file("c.log"), "second");
    assert_eq!((of("revision"), of("active_revision")), (3.0, 3.0));
}

/// Scenario: the settings of a node allow no snippets; another node makes a plugin with one; then the settings allow it, and are read again.
/// Guarantees: the node refuses the configuration in the database, and has it after the reload.
#[test]
fn a_reload_makes_active_what_the_settings_refused() {
    let cluster = Cluster::start();
    let one = cluster.node();
    let home = cluster.home();
    home.write("logphase.yml", "untrusted_lua: 'off'\n");
    let other = Admin::with_database(home);
    one.expect(201, "POST", "/plugins", Some(cluster.plugin("a.log", "first")));
    let of = |name: &str| scrape(&other).sum(&format!("logphase_database_{name}"), &[]);
    wait_until("the other node refuses it", || of("revision") == 1.0);
    assert_eq!(of("active_revision"), 0.0, "{}", other.service.log());
    other.service.home.write("logphase.yml", "untrusted_lua: sandbox\n");
    other.service.signal(Signal::HUP);
    await_logged(&other, &cluster.file("a.log"), "first");
    wait_until("it is active", || of("active_revision") == 1.0);
    wait_until("the copy has it", || of("copy_revision") == 1.0);
}

/// Scenario: the tables get a later format while a node runs. Guarantees: the node goes on, says why, and refuses writes; another node
/// does not start, and says which formats there are.
#[test]
fn an_older_program_leaves_a_newer_format_alone() {
    let cluster = Cluster::start();
    let node = cluster.node();
    node.expect(201, "POST", "/consumers", Some(json!({"username": "u"})));
    cluster.server.sql("UPDATE logphase_store SET format = 2");
    wait_until("the node has seen it", || !is_reachable(&node));
    let text = "has format 2, and this version of Logphase knows formats up to 1";
    assert!(node.service.has_logged(text), "{}", node.service.log());
    let refused = send(node.port, "DELETE", "/consumers/u", "", b"").unwrap();
    assert_eq!((refused.status, status(&node, "/consumers/u")), (503, 200));
    assert!(refused.text().contains(text), "{}", refused.text());
    let refused = cluster.home().run(&["run"], b"");
    assert_eq!(refused.code(), 78);
    assert!(refused.stderr.contains(text), "{}", refused.stderr);
    cluster.server.sql("UPDATE logphase_store SET format = 1");
    wait_until("the node goes on", || is_reachable(&node));
    node.expect(204, "DELETE", "/consumers/u", None);
}
