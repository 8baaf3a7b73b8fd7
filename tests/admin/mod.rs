//! The Admin API, as clients use it.

mod access;
mod clients;
mod concurrent;
mod deck;
mod documented;
mod durability;
mod log_level;
mod manager;
mod openapi;
mod postgres;
mod table;
mod tls;

use std::io;

use serde_json::{Value, json};

use crate::service::{Answer, Client, Home, Service, free_port};

/// A service whose entities are in a database, with its Admin API on a free port.
pub struct Admin {
    pub service: Service,
    pub port: u16,
}

impl Admin {
    /// Starts a service with an empty database. Plugins may write files in its directory.
    pub fn start() -> Self {
        Self::start_in(Home::new())
    }

    /// The same in `home`, which may have entities already.
    pub fn start_in(home: Home) -> Self {
        let directory = home.text("");
        Self::with_database(home.set("LOGPHASE_DATABASE", "sqlite").set("LOGPHASE_CONFINEMENT_PATHS", directory))
    }

    /// Starts a service with the database that the settings of `home` name.
    pub fn with_database(home: Home) -> Self {
        let port = free_port();
        let home = home.set("LOGPHASE_ADMIN_LISTEN", format!("127.0.0.1:{port}"));
        Self { service: home.start_with(&["run"]), port }
    }

    /// Starts a service with the entities of `kong_yml`, and no database.
    pub fn of_file(kong_yml: &str) -> Self {
        let port = free_port();
        let home = Home::with(kong_yml).set("LOGPHASE_ADMIN_LISTEN", format!("127.0.0.1:{port}"));
        Self { service: home.start(), port }
    }

    /// Sends a request with a JSON body, and expects the status `status`.
    #[track_caller]
    pub fn expect(&self, status: u16, method: &str, path: &str, body: Option<Value>) -> Value {
        let body = body.map(|body| body.to_string());
        let headers = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
        let answer = send(self.port, method, path, headers, body.unwrap_or_default().as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        if answer.body.is_empty() { json!(null) } else { answer.json() }
    }
}

/// Sends one request on a connection of its own.
pub fn send(port: u16, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Answer> {
    let mut client = Client::connect(port)?;
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n");
    client.send(&[head.as_bytes(), body].concat())?;
    if method == "HEAD" { client.answer_to_head() } else { client.answer() }
}
