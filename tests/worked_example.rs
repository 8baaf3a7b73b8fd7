//! The plugin that CONTRIBUTING.md shows how to add: it is compiled here, and run against a server that speaks the
//! protocol of Redis (RESP).
//!
//! `BLESS=1 cargo test --test main worked_example` copies its files into CONTRIBUTING.md.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use logphase_config::diagnostic::SourceFile;
use logphase_config::document;
use logphase_config::schema::Scope;
use logphase_net::testing::own_port;
use serde_json::Value;

use crate::plugin::SinkContext;
use crate::plugin::redis_log::DEFINITION;
use crate::sink::{FailureKind, SinkShared};

const PATIENCE: Duration = Duration::from_secs(20);

/// The number in the next line, after `sign`; `None` at the end of the connection.
fn number(client: &mut impl BufRead, sign: char) -> Option<usize> {
    let mut line = String::new();
    client.read_line(&mut line).ok()?;
    line.strip_prefix(sign)?.trim_end().parse().ok()
}

/// The next command of a client; `None` at the end of the connection.
fn command(client: &mut impl BufRead) -> Option<Vec<String>> {
    let parts = number(client, '*')?;
    let mut command = Vec::new();
    for _ in 0..parts {
        let mut part = vec![0; number(client, '$')? + 2];
        client.read_exact(&mut part).ok()?;
        command.push(String::from_utf8(part).ok()?.strip_suffix("\r\n")?.to_owned());
    }
    Some(command)
}

/// A server for the next client of `listener`, which answers each command with the next of `answers` and then closes the
/// connection. Returns the commands. The listener stays open: a process that another test starts may hold a copy of it for a
/// moment, in which the address cannot be taken again.
fn redis(listener: &TcpListener, answers: &'static [&'static str]) -> JoinHandle<Vec<Vec<String>>> {
    let listener = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = BufReader::new(client);
        let mut commands = Vec::new();
        for answer in answers {
            let Some(command) = command(&mut reader) else { break };
            commands.push(command);
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        }
        commands
    })
}

/// The sink's configuration for `text`, a plugin's `config`.
fn config(text: &str) -> Value {
    let (node, mut diagnostics) = document::parse(&SourceFile::new("kong.yml", text), None);
    let node = node.unwrap();
    let scope =
        Scope { subject: "plugin `redis-log`".into(), path: "config".into(), kong: None, origin: node.origin() };
    let config = Value::Object(DEFINITION.schema.read(&node, &scope, &mut diagnostics));
    assert_eq!(diagnostics, []);
    let context = SinkContext {
        oversize: "drop",
        max_batch_size: 1,
        concurrency_limit: 1,
        old_form: false,
        environment: |_| None,
        certificate: None,
    };
    DEFINITION.sink_config(&config, &context)
}

fn entries(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

/// Scenario: the worked example without a server, with one that answers and then is out of memory, and with one that refuses
/// a message as too large.
/// Guarantees: each message is pushed, and settled by its answer; each failure has the right kind.
#[tokio::test]
async fn worked_example_delivers() {
    let open = |port: u16| {
        let config = config(&format!("{{host: 127.0.0.1, port: {port}, list: log}}"));
        let shared = SinkShared::new(None);
        assert_eq!(DEFINITION.validate(&config, &shared), Ok(()));
        DEFINITION.open.unwrap().open(&config, &shared).ok().unwrap()
    };
    let all = entries(&["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
    let error = open(own_port()).send(&all).await.unwrap_err();
    assert_eq!((error.delivered, error.kind), (0, FailureKind::Retryable));
    assert!(error.message.contains("check that Redis runs"), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sink = open(listener.local_addr().unwrap().port());
    let server = redis(&listener, &[":1\r\n", ":2\r\n", "-OOM command not allowed\r\n"]);
    let error = sink.send(&all).await.unwrap_err();
    assert_eq!((error.delivered, error.kind), (2, FailureKind::Retryable));
    assert_eq!(error.message, "Redis refuses the message: OOM command not allowed");
    let pushed = server.join().unwrap();
    let expected = ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"].map(|message| ["RPUSH", "log", message]);
    assert_eq!(pushed, expected);

    // The first attempt detects that the server has closed the connection.
    let server = redis(&listener, &[":3\r\n", "-ERR Protocol error: invalid bulk length\r\n"]);
    assert_eq!(sink.send(&all[2..]).await.unwrap_err().kind, FailureKind::Retryable);
    assert_eq!(sink.send(&all[2..]).await.unwrap().settled, 1);
    let error = sink.send(&entries(&["{}"])).await.unwrap_err();
    assert_eq!((error.delivered, error.kind), (0, FailureKind::TooLarge));
    assert_eq!(server.join().unwrap(), [["RPUSH", "log", "{\"n\":3}"], ["RPUSH", "log", "{}"]]);
}

/// Scenario: the worked example with the name of a list that the schema accepts and the sink does not.
/// Guarantees: the configuration is refused, and the error names the field.
#[test]
fn worked_example_validates() {
    let errors = DEFINITION.validate(&config("{host: cache, list: 'my log'}"), &SinkShared::new(None));
    let errors: Vec<_> = errors.unwrap_err().into_iter().map(|error| error.field).collect();
    assert_eq!(errors, ["list"]);
}

/// Scenario: the code in CONTRIBUTING.md's section about plugins.
/// Guarantees: it is, block by block, that of the files that are compiled here.
#[test]
fn contributing_shows_the_worked_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("CONTRIBUTING.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    let mut at = page.find("\n## Adding a plugin\n").expect("CONTRIBUTING.md has the section");
    for file in ["redis_log.rs", "redis.rs"] {
        let code = std::fs::read_to_string(root.join("tests/worked_example").join(file)).unwrap();
        let start = at + page[at..].find("```rust\n").expect("a block of code") + "```rust\n".len();
        let indent = &page[page[..start - "```rust\n".len()].rfind('\n').unwrap() + 1..start - "```rust\n".len()];
        let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") };
        let shown: String = code.lines().map(indented).collect();
        let end = start + page[start..].find(&format!("{indent}```\n")).expect("the block ends");
        if std::env::var_os("BLESS").is_some() {
            page.replace_range(start..end, &shown);
        } else {
            let help = "run BLESS=1 cargo test --test main worked_example";
            assert!(page[start..end] == shown, "CONTRIBUTING.md shows another {file}: {help}");
        }
        at = start + page[start..].find("```\n").unwrap() + "```\n".len();
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
}
