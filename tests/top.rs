//! `logphase top` in a real terminal: tmux draws the screen, and the tests read it.

use std::process::Command;

use serde_json::json;

use crate::service::{Home, Service, ask, configuration, free_port, transaction, wait_until};

/// A terminal that runs `logphase top`.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn start(service: &Service) -> Self {
        let terminal = Self { socket: service.home.text("tmux") };
        let data = service.home.text("data");
        let program = env!("CARGO_BIN_EXE_logphase");
        let command = format!("cd '{}' && LOGPHASE_DATA_DIR='{data}' '{program}' top", service.home.text("."));
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", &command]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(arguments).env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        let output = command.output().expect("tmux is installed by .ci/tools");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn press(&self, key: &str) {
        assert!(self.tmux(&["send-keys", key]).0, "{key}");
    }

    #[track_caller]
    fn await_text(&self, text: &str) {
        let mut seen = String::new();
        let what = format!("the terminal shows {text}");
        wait_until(&what, || {
            seen = self.tmux(&["capture-pane", "-p"]).1;
            seen.contains(text)
        });
    }

    #[track_caller]
    fn await_end_of(&self, text: &str) {
        let what = format!("the terminal no longer shows {text}");
        wait_until(&what, || !self.tmux(&["capture-pane", "-p"]).1.contains(text));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn service() -> Service {
    let home = Home::new().set("LOGPHASE_SHUTDOWN_TIMEOUT", "1s");
    let plugins = json!([
        {"name": "file-log", "config": {"path": home.text("messages.log"), "custom_fields_by_lua": {"a": "error('no')"}}},
        {"name": "http-log", "instance_name": "away",
         "config": {"http_endpoint": format!("http://127.0.0.1:{}/", free_port())}},
    ]);
    home.write("kong.yml", &configuration(&plugins));
    let service = home.start();
    for id in 0..5 {
        service.accept(transaction(id).to_string());
    }
    service
}

/// Scenario: a service with a plugin that cannot deliver and one whose Lua fails, watched in a terminal: a plugin is
/// selected, its details opened, the table sorted and paused, help shown; the service stops; q is pressed.
/// Guarantees: the screen shows the errors, each key works as documented, the stopped service is reported, and q
/// restores the terminal.
#[test]
fn in_a_terminal() {
    let mut service = service();
    let terminal = Terminal::start(&service);
    terminal.await_text("http-log (away)");
    terminal.await_text("failing");
    terminal.press("s");
    terminal.await_text("sorted by messages waiting");
    terminal.await_text(">http-log (away)");
    terminal.press("Enter");
    terminal.await_text("connection refused");
    terminal.await_text("5 messages,");
    terminal.press("Down");
    terminal.await_text(">file-log");
    terminal.await_text("5 errors");
    terminal.press("k");
    terminal.await_text(">http-log (away)");
    terminal.press("?");
    terminal.await_text("how long the oldest message has waited");
    terminal.press("Escape");
    // The terminal would take an immediate key as one with Alt, and the help covers what comes next.
    terminal.await_end_of("how long the oldest message has waited");
    terminal.press("p");
    terminal.await_text("PAUSED");
    terminal.press("p");
    service.stop();
    terminal.await_text("No answer: no service runs with the data directory");
    service.start_again();
    terminal.await_text("5 recovered");
    terminal.press("q");
    wait_until("the process has ended", || !terminal.tmux(&["has-session"]).0);
}

/// Scenario: a script calls `top` once, with the control socket and with a URL; then without a service.
/// Guarantees: the table is plain text without escape codes; without a service, the error says how to enable the
/// listener.
#[test]
fn for_scripts() {
    let port = free_port();
    let home = Home::new().set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{port}"));
    let text = configuration(&json!([{"name": "file-log", "config": {"path": home.text("messages.log")}}]));
    home.write("kong.yml", &text);
    let mut service = home.start();
    service.accept(transaction(1).to_string());
    let url = format!("http://127.0.0.1:{port}");
    // The message may still be on its way.
    wait_until("the message is delivered", || ask(port, "GET", "/status", "").2.contains("\"delivered\":1"));
    // Also without --once: standard output is not a terminal.
    for arguments in [&["top", "--once"][..], &["top"], &["top", "--once", "--url", &url]] {
        let ended = service.home.run(arguments, b"");
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        let row = ended.stdout.lines().find(|line| line.starts_with("file-log")).expect(&ended.stdout);
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            ["file-log", "0", "-", "ok", "0", "B", "1", "1", "0", "0"]
        );
        assert!(!ended.stdout.contains('\u{1b}'));
    }
    service.stop();
    let ended = service.home.run(&["top", "--once"], b"");
    assert_eq!(ended.code(), 74);
    assert!(ended.stderr.contains("listen: [127.0.0.1:8007]"), "{}", ended.stderr);
    let ended = service.home.run(&["top", "--once", "--url", &url], b"");
    assert!(ended.code() == 74 && ended.stderr.contains("onnection refused"), "{}", ended.stderr);
    let ended = service.home.run(&["top", "--once", "--url", "https://a"], b"");
    assert!(ended.code() == 74 && ended.stderr.contains("support only http"), "{}", ended.stderr);
}
