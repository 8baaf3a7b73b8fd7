//! Keys of the rows, and TLS to the server.

use serde_json::json;

use super::{Admin, Cluster, all, is_reachable, send, status};
use crate::service::{Authority, wait_until};

/// Scenario: two nodes with a key, one of which gets a new key while the other one runs; a node without a key. Guarantees: no secret is in the
/// tables; the node with the old key goes on, says which key is missing, and refuses writes, until it gets the new key; without a key no
/// node starts; the export needs the key.
#[test]
fn rows_are_encrypted() {
    let cluster = Cluster::start();
    let keys = ["11".repeat(32), "22".repeat(32)];
    let node = || Admin::with_database(cluster.home().set("LOGPHASE_DATABASE_KEY", &keys[0]));
    let (mut one, mut other) = (node(), node());
    one.expect(201, "POST", "/consumers", Some(json!({"username": "s3cret-name"})));
    wait_until("the other node has it", || status(&other, "/consumers/s3cret-name") == 200);
    let plain = "SELECT count(*), sum(position('s3cret-name'::bytea in entity)) FROM logphase_entities";
    assert_eq!(cluster.server.sql(plain), "1|0");
    let without = cluster.home().run(&["run"], b"");
    assert_eq!(without.code(), 78);
    assert!(without.stderr.contains("no key is given"), "{}", without.stderr);
    one.service.stop();
    one.service.home.change("LOGPHASE_DATABASE_KEY", &keys[1]);
    one.service.home.change("LOGPHASE_DATABASE_OLD_KEY", &keys[0]);
    one.service.start_again();
    wait_until("the other node has no key", || !is_reachable(&other));
    assert!(other.service.has_logged("is encrypted with the key"), "{}", other.service.log());
    assert_eq!(all(&other, "/consumers").len(), 1);
    assert_eq!(send(other.port, "DELETE", "/consumers/s3cret-name", "", b"").unwrap().status, 503);
    other.service.stop();
    other.service.home.change("LOGPHASE_DATABASE_KEY", &keys[1]);
    other.service.start_again();
    one.expect(204, "DELETE", "/consumers/s3cret-name", None);
    wait_until("the other node has deleted it", || all(&other, "/consumers").is_empty());
    let exported = other.service.home.run(&["config", "export"], b"");
    assert_eq!(exported.code(), 0, "{}", exported.stderr);
}

/// Scenario: a server that takes TLS alone, with a client certificate; URLs with each `sslmode`, with the authority of the server and with another
/// one. Guarantees: a node connects, and is refused, as with libpq.
#[test]
fn connections_are_encrypted_as_the_url_says() {
    let mut cluster = Cluster::start();
    let (authority, foreign) = (Authority::new(), Authority::new());
    let (cert, key) = authority.issue("localhost");
    let (client_cert, client_key) = authority.issue(super::server::USER);
    cluster.server.stop();
    let server = &cluster.server;
    for (name, text) in [("server.pem", &cert), ("server.key", &key), ("ca.pem", &authority.pem())] {
        server.write(name, text);
    }
    let files = ["server.pem", "server.key", "ca.pem"].map(|name| server.path(name).display().to_string());
    let [cert, key, ca] = &files;
    server.configure(&format!("ssl = on\nssl_cert_file = '{cert}'\nssl_key_file = '{key}'\nssl_ca_file = '{ca}'"));
    // psql, which waits for the server, comes without a certificate.
    server.write(
        "data/pg_hba.conf",
        "host postgres all 127.0.0.1/32 scram-sha-256\nhostssl logphase all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n",
    );
    cluster.server.start_again();
    let home = cluster.home();
    for (name, text) in
        [("ca.pem", authority.pem()), ("foreign.pem", foreign.pem()), ("c.pem", client_cert), ("k.pem", client_key)]
    {
        home.write(name, &text);
    }
    let client = format!("&sslcert={}&sslkey={}", home.text("c.pem"), home.text("k.pem"));
    let (ca, foreign) = (home.text("ca.pem"), home.text("foreign.pem"));
    let url = |host: &str, query: String| format!("{}?{query}", cluster.server.url().replace("127.0.0.1", host));
    for (url, reason) in [
        (url("127.0.0.1", format!("sslmode=require{client}")), None),
        (url("127.0.0.1", format!("sslmode=prefer{client}")), None),
        (url("localhost", format!("sslmode=verify-full&sslrootcert={ca}{client}")), None),
        (url("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}{client}")), None),
        (url("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}{client}")), Some("invalid peer certificate")),
        (
            url("localhost", format!("sslmode=verify-full&sslrootcert={foreign}{client}")),
            Some("invalid peer certificate"),
        ),
        (url("127.0.0.1", format!("sslmode=require&sslrootcert={foreign}{client}")), Some("invalid peer certificate")),
        (url("localhost", format!("sslmode=verify-full&sslrootcert={ca}")), Some("certificate")),
        (url("127.0.0.1", "sslmode=disable".to_owned()), Some("no pg_hba.conf entry")),
    ] {
        let mut home = cluster.home();
        home.change("LOGPHASE_DATABASE_URL", &url);
        match reason {
            None => assert_eq!(Admin::with_database(home).service.stop(), 0, "{url}"),
            Some(reason) => {
                let refused = home.run(&["run"], b"");
                assert_eq!(refused.code(), 78, "{url}: {}", refused.stderr);
                assert!(refused.stderr.contains(reason), "{url}: {}", refused.stderr);
            }
        }
    }
}
