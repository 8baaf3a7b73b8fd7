//! What was answered is kept, whatever ends the service.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::{Admin, send};
use crate::service::{Answer, Authority, Home, wait_until};

/// Scenario: four clients create, change and delete consumers, a thousand writes in all; the service is killed by SIGKILL ten times
/// meanwhile, and starts again. Guarantees: it always starts; every consumer that an answer confirmed is there as it was confirmed, none that was
/// confirmed as deleted is, and each is whole.
#[test]
fn no_answered_write_is_lost_by_a_kill() {
    const ROUNDS: usize = 10;
    const PER_ROUND: usize = 100;
    let answers = AtomicUsize::new(0);
    let mut admin = Admin::start();
    let mut expected: Vec<(String, Option<String>)> = Vec::new();
    for round in 0..ROUNDS {
        let port = admin.port;
        let results: Vec<Vec<(String, Option<String>)>> = thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let answers = &answers;
                    scope.spawn(move || writes(port, &format!("c{round}-{client}"), answers, &AtomicBool::new(false)))
                })
                .collect();
            let wanted = (round + 1) * PER_ROUND;
            wait_until("a hundred more writes are answered", || answers.load(Ordering::Relaxed) >= wanted);
            admin.service.kill();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        expected.extend(results.into_iter().flatten());
        admin.service.start_again();
        check(&admin, &expected);
    }
}

/// Writes until the service is gone, or it is over. Returns each consumer with the tag that its last answered write gave it; without one if that
/// deleted it. The consumer of an unanswered write is left out.
pub fn writes(port: u16, prefix: &str, answers: &AtomicUsize, is_over: &AtomicBool) -> Vec<(String, Option<String>)> {
    let mut answered = Vec::new();
    let is_answered = |answer: io::Result<Answer>, status: u16| {
        let is_answered = answer.is_ok_and(|answer| answer.status == status);
        answers.fetch_add(usize::from(is_answered), Ordering::Relaxed);
        is_answered
    };
    let json = "Content-Type: application/json\r\n";
    for number in (0..).take_while(|_| !is_over.load(Ordering::Relaxed)) {
        let name = format!("{prefix}-{number}");
        let path = format!("/consumers/{name}");
        let put = |tag: &str| {
            let body = json!({"tags": [tag], "custom_id": name}).to_string();
            is_answered(send(port, "PUT", &path, json, body.as_bytes()), 200)
        };
        if !put("first") {
            break;
        }
        let last = match number % 3 {
            0 => Some("first"),
            1 if put("second") => Some("second"),
            2 if is_answered(send(port, "DELETE", &path, "", b""), 204) => None,
            _ => break,
        };
        answered.push((name, last.map(str::to_owned)));
    }
    answered
}

/// Fails unless each consumer is as `expected`.
pub fn check(admin: &Admin, expected: &[(String, Option<String>)]) {
    for (name, tag) in expected {
        let answer = send(admin.port, "GET", &format!("/consumers/{name}"), "", b"").unwrap();
        let found = (answer.status == 200).then(|| answer.json());
        let shown = found.as_ref().map(|found| found["tags"][0].clone());
        assert_eq!(shown, tag.as_deref().map(Value::from), "{name}");
        if let Some(found) = found {
            assert_eq!(found["custom_id"], name.as_str(), "it is whole");
        }
    }
}

/// Scenario: a service with an encrypted database is started without its key, with another one, and with its key as the old one of a
/// new one. Guarantees: no secret is in the file; only the right key opens it, and the new one opens it later.
#[test]
fn a_key_encrypts_the_database() {
    let keys = ["11".repeat(32), "22".repeat(32)];
    let home = Home::new().set("LOGPHASE_DATABASE_KEY", &keys[0]).set("LOGPHASE_ADMIN_TOKEN", "t");
    let mut admin = Admin::start_in(home);
    let (cert, key) = Authority::new().issue("a.test");
    let line = key.lines().nth(1).unwrap().to_owned();
    let body = json!({ "cert": cert, "key": key }).to_string();
    let headers = "Content-Type: application/json\r\nKong-Admin-Token: t\r\n";
    let made = send(admin.port, "POST", "/certificates", headers, body.as_bytes()).unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(admin.service.stop(), 0);
    for file in std::fs::read_dir(admin.service.home.path("data")).unwrap().map(|entry| entry.unwrap().path()) {
        if let Ok(bytes) = std::fs::read(&file) {
            assert!(!String::from_utf8_lossy(&bytes).contains(&line), "{}", file.display());
        }
    }
    let export = |key: Option<&str>| {
        let home = Home::new().set("LOGPHASE_DATA_DIR", admin.service.home.text("data"));
        let home = key.into_iter().fold(home, |home, key| home.set("LOGPHASE_DATABASE_KEY", key));
        home.run(&["config", "export"], b"")
    };
    let exported = export(Some(&keys[0]));
    assert!(exported.stdout.contains(&line), "{}", exported.stderr);
    let (without, wrong) = (export(None), export(Some(&keys[1])));
    assert_eq!((without.code(), wrong.code()), (78, 78), "{}{}", without.stderr, wrong.stderr);
    assert!(without.stderr.contains("no key is given"), "{}", without.stderr);
    admin.service.home.change("LOGPHASE_DATABASE_KEY", &keys[1]);
    admin.service.home.change("LOGPHASE_DATABASE_OLD_KEY", &keys[0]);
    admin.service.start_again();
    let headers = "Kong-Admin-Token: t\r\n";
    let list = send(admin.port, "GET", "/certificates", headers, b"").unwrap().json();
    assert_eq!(list["data"][0]["key"], key);
}
