//! Schemas: requests, caching, the wire format.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::*;

/// Scenario: messages by an Avro schema and by a JSON schema. Guarantees: the bytes are Confluent's wire format.
#[tokio::test]
async fn wire_format() {
    let server = MockServer::start(|_| schema(0x0102, "AVRO", &id_schema())).await;
    let value = registry(&server.url(""), json!({})).encode(&entry(r#"{"id": -1}"#)).await;
    assert_eq!(value.as_deref(), Ok(&[0, 0, 0, 1, 2, 1][..]));

    let server = MockServer::start(|_| schema(7, "JSON", &json!({"required": ["id"]}))).await;
    let json = registry(&server.url(""), json!({}));
    let value = json.encode(&entry(r#"{"id":  1.50}"#)).await;
    assert_eq!(value.as_deref(), Ok(&b"\0\0\0\0\x07{\"id\":  1.50}"[..]), "the message's own bytes");
    let Err(EncodeError::Final(reason)) = json.encode(&entry("{}")).await else { panic!("a mismatch is final") };
    let expected = "the message does not fit the latest version of subject log: /: \"id\" is a required property";
    assert_eq!(reason, expected);
}

/// Scenario: a response without `schemaType`, a path prefix and a subject full of special characters.
/// Guarantees: it is Avro; the prefix is kept; the subject is one escaped segment.
#[tokio::test]
async fn request_for_a_schema() {
    let answer = json!({"id": 1, "schema": id_schema().to_string()});
    let server = MockServer::start(move |_| ok(&answer)).await;
    let named = json!({"subject_name": ":.ctx:a b/%é", "schema_version": "12"});
    let registry = open(json!({"url": server.url("/apis/ccompat/v7/"), "value_schema": named})).expect("usable");
    assert_eq!(registry.encode(&entry(r#"{"id": 1}"#)).await.as_deref(), Ok(&[0, 0, 0, 0, 1, 2][..]));
    let line = "GET /apis/ccompat/v7/subjects/%3A.ctx%3Aa%20b%2F%25%C3%A9/versions/12 HTTP/1.1";
    assert_eq!(server.requests()[0].line, line);
    assert_eq!(server.requests()[0].header("authorization"), None);
}

/// Scenario: messages before and after the ttl, with a new latest version in between.
/// Guarantees: there is one request per ttl, and the new schema is used from then on.
#[tokio::test]
async fn schemas_are_cached_for_the_ttl() {
    let id = Arc::new(AtomicU32::new(1));
    let current = id.clone();
    let server = MockServer::start(move |_| schema(current.load(SeqCst), "AVRO", &id_schema())).await;
    let registry = registry(&server.url(""), json!({}));
    let start = Instant::now();
    let id_at =
        async |after| registry.encode_at(&entry(r#"{"id": 1}"#), start + seconds(after)).await.expect("fits")[4];
    assert_eq!((id_at(0).await, id_at(59).await, server.count()), (1, 1, 1));
    id.store(2, SeqCst);
    assert_eq!((id_at(59).await, server.count()), (1, 1));
    assert_eq!((id_at(60).await, server.count()), (2, 2));
    assert_eq!((id_at(119).await, server.count()), (2, 2));
}

/// Scenario: a registry that fails after the schema was fetched, and recovers.
/// Guarantees: the old schema stays in use; the pauses between requests grow; only `latest` warns, and once.
#[tokio::test]
async fn an_outage_is_bridged() {
    for (version, warns) in [("latest", true), ("3", false)] {
        let status = Arc::new(AtomicU32::new(200));
        let current = status.clone();
        let server = MockServer::start(move |_| match current.load(SeqCst) {
            200 => schema(9, "AVRO", &id_schema()),
            status => (status as u16, Vec::new(), "busy".to_owned()),
        })
        .await;
        let named = json!({"subject_name": "log", "schema_version": version});
        let registry = open(json!({"url": server.url(""), "ttl": 60, "value_schema": named})).expect("usable");
        let start = Instant::now();
        let good_at = async |after| registry.encode_at(&entry(r#"{"id": 1}"#), start + seconds(after)).await.is_ok();
        assert!(good_at(0).await);
        status.store(503, SeqCst);
        let mut requested_at = Vec::new();
        for after in 60..70 {
            let before = server.count();
            assert!(good_at(after).await, "{after} s");
            requested_at.extend((server.count() > before).then_some(after));
        }
        assert_eq!(requested_at, [60, 61, 63, 67], "pauses of 1, 2, 4 seconds");
        let warning = registry.take_warning();
        assert_eq!(warning.is_some(), warns, "{version}: {warning:?}");
        assert!(warning.is_none_or(|text| text.contains("503") && text.contains("the schema with id 9 stays in use")));
        status.store(200, SeqCst);
        assert!(good_at(75).await && good_at(100).await);
        assert_eq!((server.count(), registry.take_warning()), (6, None));
    }
}

/// Scenario: no schema yet: a refused connection, errors of the registry, schemas that cannot be used.
/// Guarantees: the messages wait, the error says what and where, and the next request is not sent at once.
#[tokio::test]
async fn without_a_schema_messages_wait() {
    let missing = json!({"error_code": 40401, "message": "Subject 'log' not found."}).to_string();
    let moved = vec![("location", "https://elsewhere/".to_owned())];
    let answers: Vec<(MockResponse, &str)> = vec![
        (
            (404, vec![], missing),
            "404 Not Found for the latest version of subject log (40401: Subject 'log' not found.); register it",
        ),
        (
            (403, vec![], String::new()),
            "403 Forbidden for the latest version of subject log; check schema_registry.confluent.authentication",
        ),
        ((302, moved, String::new()), "it redirects to https://elsewhere/, set url to that"),
        (ok("{}"), "is not as expected: missing field `id`"),
        (
            schema(1, "PROTOBUF", &json!("x")),
            "(id 1) cannot be used: it is of the type PROTOBUF; only AVRO and JSON are supported",
        ),
        (schema(1, "AVRO", &json!({"type": "strin"})), "(id 1) cannot be used: "),
        (schema(1, "JSON", &json!({"type": 5})), "(id 1) cannot be used: "),
    ];
    for (answer, expected) in answers {
        let server = MockServer::start(move |_| answer.clone()).await;
        let registry = registry(&server.url(""), json!({}));
        let now = Instant::now();
        for _ in 0..3 {
            let error = registry.encode_at(&entry("{}"), now).await.expect_err("no schema");
            let EncodeError::Retry(reason) = error else { panic!("not final: {error}") };
            assert!(reason.contains(expected), "{reason}\nlacks {expected}");
        }
        assert_eq!(server.count(), 1);
        assert!(registry.encode_at(&entry("{}"), now + seconds(1)).await.is_err());
        assert_eq!(server.count(), 2);
    }
    let port = logphase_net::testing::own_port();
    let error = registry(&format!("http://127.0.0.1:{port}"), json!({})).encode(&entry("{}")).await;
    let Err(EncodeError::Retry(reason)) = error else { panic!("no registry: {error:?}") };
    assert!(reason.starts_with(&format!("schema registry http://127.0.0.1:{port}: ")), "{reason}");
}

/// Scenario: a registry that asks for a pause. Guarantees: the next request is not sent before its end.
#[tokio::test]
async fn retry_after_is_respected() {
    let server = MockServer::start(|_| (429, vec![("retry-after", "20".to_owned())], String::new())).await;
    let registry = registry(&server.url(""), json!({}));
    let start = Instant::now();
    for (after, count) in [(0, 1), (19, 1), (20, 2)] {
        assert!(registry.encode_at(&entry("{}"), start + seconds(after)).await.is_err());
        assert_eq!(server.count(), count, "after {after} s");
    }
}

/// Scenario: an Avro schema with nested references, one of them twice; and references without end.
/// Guarantees: each version is fetched once; references without end are an error.
#[tokio::test]
async fn references_are_fetched() {
    let refer = |name: &str, subject: &str, version: u32| json!({"name": name, "subject": subject, "version": version});
    let answer = move |text: Value, references: Value| {
        ok(json!({"id": 4, "schema": text.to_string(), "references": references}))
    };
    let server = MockServer::start(move |request| match request.line.split(' ').nth(1) {
        Some("/subjects/log/versions/latest") => {
            let fields = json!([{"name": "u", "type": "acme.User"}, {"name": "i", "type": "acme.Id"}]);
            let text = json!({"type": "record", "name": "R", "fields": fields});
            answer(text, json!([refer("acme.User", "user", 3), refer("acme.Id", "id", 1)]))
        }
        Some("/subjects/user/versions/3") => {
            let fields = json!([{"name": "i", "type": "Id"}]);
            let text = json!({"type": "record", "name": "User", "namespace": "acme", "fields": fields});
            answer(text, json!([refer("acme.Id", "id", 1)]))
        }
        _ => answer(json!({"type": "fixed", "name": "Id", "namespace": "acme", "size": 1}), json!([])),
    })
    .await;
    let value = registry(&server.url(""), json!({})).encode(&entry(r#"{"u": {"i": "a"}, "i": "b"}"#)).await;
    assert_eq!(value.as_deref(), Ok(&b"\0\0\0\0\x04ab"[..]));
    assert_eq!(server.count(), 3);

    let count = AtomicU32::new(0);
    let endless = MockServer::start(move |_| {
        let name = count.fetch_add(1, SeqCst).to_string();
        answer(json!("int"), json!([refer(&name, &name, 1)]))
    })
    .await;
    let error = registry(&endless.url(""), json!({})).encode(&entry("1")).await.expect_err("endless");
    assert!(matches!(&error, EncodeError::Retry(text) if text.contains("more than 100 other schemas")), "{error}");
}

/// Scenario: keys by schemas of a string and of a number, and with a schema for values only.
/// Guarantees: the key's text is encoded, that of a number as the number if the schema wants one; a mismatch is final.
#[tokio::test]
async fn keys_have_a_schema_of_their_own() {
    for (kind, key, expected) in [
        ("string", "a\"b", Ok(&b"\0\0\0\0\x05\x06a\"b"[..])),
        ("string", "42", Ok(&b"\0\0\0\0\x05\x0442"[..])),
        ("long", "42", Ok(&b"\0\0\0\0\x05\x54"[..])),
        ("long", "x", Err("the record's key does not fit version 2 of subject keys: expected long, found a string")),
    ] {
        let server = MockServer::start(move |_| schema(5, "AVRO", &json!(kind))).await;
        let named = json!({"subject_name": "keys", "schema_version": "2"});
        let registry = open(json!({"url": server.url(""), "key_schema": named})).expect("usable");
        let encoded = registry.encode_key(key).await;
        let expected = expected.map_err(|reason| EncodeError::Final(reason.to_owned()));
        assert_eq!(encoded.as_deref().map_err(Clone::clone), expected, "{key} by {kind}");
        assert_eq!(registry.encode(&entry("as it is")).await, Ok(entry("as it is")));
    }
    let server = MockServer::start(|_| schema(5, "AVRO", &id_schema())).await;
    assert_eq!(registry(&server.url(""), json!({})).encode_key("k").await, Ok(entry("k")));
    assert_eq!(server.count(), 0);
}

/// Scenario: configurations that lack a field, or have one that cannot be used.
/// Guarantees: each is refused when the registry is opened, with the path of the field.
#[test]
fn unusable_configurations_are_refused() {
    let named = json!({"subject_name": "log"});
    let with =
        |authentication: Value| json!({"url": "http://a", "value_schema": named, "authentication": authentication});
    let oauth = |oauth: Value, client: Value| with(json!({"mode": "oauth2", "oauth2": oauth, "oauth2_client": client}));
    let usable = json!({"token_endpoint": "https://id/", "client_id": "a", "client_secret": "b"});
    let with_usable = |more: Value| {
        let mut all = usable.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    for (config, expected) in [
        (json!({"value_schema": named}), ".url: missing"),
        (json!({"url": "a:8081", "value_schema": named}), ".url: must begin with http:// or https://"),
        (json!({"url": "http://u:p@a", "value_schema": named}), ".url: contains a user"),
        (json!({"url": "http://a/?b", "value_schema": named}), ".url: has a query"),
        (json!({"url": "http://a"}), ": no schema to use"),
        (json!({"url": "http://a", "value_schema": {}}), ".value_schema.subject_name: missing"),
        (
            json!({"url": "http://a", "key_schema": {"subject_name": "a", "schema_version": "0"}}),
            ".key_schema.schema_version: \"0\" is not a version",
        ),
        (with(json!({"mode": "basic"})), ".authentication.basic: missing"),
        (with(json!({"mode": "oauth2"})), ".authentication.oauth2: missing"),
        (
            oauth(json!({"token_endpoint": "https://id/", "client_id": "a"}), json!({})),
            ".authentication.oauth2.client_secret: missing",
        ),
        (
            oauth(json!({"token_endpoint": "id", "client_id": "a", "client_secret": "b"}), json!({})),
            ".authentication.oauth2.token_endpoint: must begin",
        ),
        (
            oauth(usable.clone(), json!({"https_proxy": "https://p"})),
            ".authentication.oauth2_client.https_proxy: a proxy that speaks TLS is not supported",
        ),
        (
            oauth(usable.clone(), json!({"https_proxy": "socks5://p"})),
            ".authentication.oauth2_client.https_proxy: must begin",
        ),
        (
            oauth(usable.clone(), json!({"http_version": 2.0})),
            ".authentication.oauth2_client.http_version: 2 is not supported",
        ),
        (
            oauth(with_usable(json!({"token_endpoint": "http://id/", "grant_type": "password"})), json!({})),
            ".authentication.oauth2.username: missing",
        ),
        (
            oauth(with_usable(json!({"token_headers": {"a b": "c"}})), json!({})),
            ".authentication.oauth2.token_headers: \"a b\" is not a header name",
        ),
    ] {
        let error = open(config.clone()).err().unwrap_or_else(|| panic!("taken: {config}"));
        assert!(
            error.starts_with("schema_registry.confluent") && error.contains(expected),
            "{error}\nlacks {expected}"
        );
    }
}
