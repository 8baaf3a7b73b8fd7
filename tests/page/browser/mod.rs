//! The page in a real browser, Debian's Chromium, against the real service. `scenarios/` says what is done there; `run.mjs` drives the
//! browser, and fails whenever it reports an error or a request leaves the service.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::service::{Home, Service, configuration, free_port};

/// The folder with the packages that drive the browser, downloaded if they are missing.
fn packages() -> &'static Path {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
        let mut fetch = Command::new(root.join(".ci/npm"));
        let fetch = fetch.arg(root.join("tests/page/browser")).arg(built.join("browser")).output().unwrap();
        assert!(fetch.status.success(), "{}", String::from_utf8_lossy(&fetch.stderr));
        String::from_utf8(fetch.stdout).unwrap().trim_end().into()
    })
}

/// A service with its page.
struct Page {
    service: Service,
    port: u16,
    /// A port for a receiver of the scenario, or that nobody listens on.
    receiver: u16,
}

impl Page {
    /// A service with these plugins, which may use a receiver at the port that they are given, in memory.
    fn with_plugins(plugins: impl FnOnce(&Home, u16) -> Value) -> Self {
        let (home, port, receiver) = (Home::new(), free_port(), free_port());
        home.write("kong.yml", &configuration(&plugins(&home, receiver)));
        let home = home.set("LOGPHASE_PAGE_LISTEN", format!("127.0.0.1:{port}"));
        Self { service: home.start(), port, receiver }
    }

    /// A service with a database with these entities.
    fn with_database(change: impl FnOnce(Home) -> Home, entities: impl FnOnce(&Home) -> Value) -> Self {
        let (home, port, receiver) = (change(Home::new()), free_port(), free_port());
        let directory = home.text("");
        let home = home.set("LOGPHASE_DATABASE", "sqlite").set("LOGPHASE_CONFINEMENT_PATHS", directory);
        home.write("import.yml", &entities(&home).to_string());
        let imported = home.run(&["config", "import", "import.yml"], b"");
        assert_eq!(imported.code(), 0, "{}", imported.stderr);
        let home = home.set("LOGPHASE_PAGE_LISTEN", format!("127.0.0.1:{port}"));
        Self { service: home.start_with(&["run"]), port, receiver }
    }

    /// Does in a browser what `scenarios/NAME.mjs` says.
    #[track_caller]
    fn browse(&self, name: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/browser/run.mjs");
        let facts = json!({
            "page": format!("http://127.0.0.1:{}", self.port), "http": self.service.home.http, "receiver": self.receiver,
            "token": TOKEN, "read_only_token": READ_ONLY_TOKEN,
        });
        self.assert_has_page();
        let run = Command::new("node").arg(script).arg(packages()).arg(name).arg(facts.to_string()).output().unwrap();
        let said = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
        assert!(run.status.success(), "{name}:\n{said}\n--- the service:\n{}", self.service.log());
    }

    #[track_caller]
    fn assert_has_page(&self) {
        let answer = crate::admin::send(self.port, "GET", "/", "", b"").unwrap();
        assert_eq!(answer.status, 200, "this program has no page; run `make page` and build again: {}", answer.text());
    }
}

const TOKEN: &str = "full-token-0123456789";
const READ_ONLY_TOKEN: &str = "look-token-0123456789";

/// A plugin that writes to a file, adds `team` and removes a header.
fn file_log(home: &Home) -> Value {
    let fields = json!({"team": "return \"shop\"", "request.headers.cookie": "return nil"});
    json!({"name": "file-log", "config": {"path": home.text("messages.log"), "custom_fields_by_lua": fields}})
}

fn one_plugin(home: &Home) -> Value {
    json!({"_format_version": "3.0", "plugins": [file_log(home)]})
}

/// Scenario: a receiver that cannot be reached. Guarantees: the view Now has it first, with the error and what to do; inputs, log phase,
/// and plugins in their order are drawn; the problem leads to the plugin, its last hour and its queue.
#[test]
fn now_says_first_what_is_wrong() {
    Page::with_plugins(|home, receiver| {
        let siem = json!({"host": "127.0.0.1", "port": receiver});
        json!([{"name": "tcp-log", "instance_name": "siem", "config": siem}, file_log(home)])
    })
    .browse("now");
}

/// Scenario: messages that Lua changes. Guarantees: a filter lets others out; the difference is marked and names the snippet; the list
/// stands still while one reads; a message becomes a test file, and a transaction of the playground.
#[test]
fn messages_show_who_changed_what() {
    Page::with_plugins(|home, _| json!([file_log(home)])).browse("messages");
}

/// Scenario: a mistake in Lua while one types, its correction, and a mistake that shows when it runs. Guarantees: each is at its place;
/// the message has the difference; names are completed; tests are saved; an address holds all of it; the history can be cleared.
#[test]
fn playground_shows_errors_and_messages() {
    Page::with_plugins(|home, _| json!([file_log(home)])).browse("playground");
}

/// Scenario: messages that a receiver refuses, until it is repaired. Guarantees: they are listed with the reason; dropping asks first;
/// after a replay the receiver has them, and none is left.
#[test]
fn dead_letters_are_replayed() {
    let page = Page::with_plugins(
        |_, receiver| json!([{"name": "http-log", "config": {"http_endpoint": format!("http://127.0.0.1:{receiver}/")}}]),
    );
    page.browse("dead_letters");
    let left = page.service.home.queues().into_iter().filter(|queue| queue["messages"] != 0).count();
    assert_eq!(left, 0);
}

/// Scenario: a new plugin, first with mistakes, then changed and deleted. Guarantees: Kong's errors are at their fields; what a change
/// does and which routes it touches is shown before it is made; the next message has the plugin's fields.
#[test]
fn plugin_is_made_by_a_form() {
    let routes = json!([{"name": "orders", "paths": ["/"]}]);
    let services = json!([{"name": "shop", "host": "a.example", "routes": routes}]);
    Page::with_database(|home| home, |_| json!({"_format_version": "3.0", "services": services})).browse("plugin");
}

/// Scenario: a wrong token, the read-only token, and the full one. Guarantees: nothing without a token; a read-only session has no
/// buttons that write; the token is in no storage, address or cookie.
#[test]
fn login_decides_what_one_may_do() {
    let tokens =
        |home: Home| home.set("LOGPHASE_ADMIN_TOKEN", TOKEN).set("LOGPHASE_ADMIN_READ_ONLY_TOKEN", READ_ONLY_TOKEN);
    Page::with_database(tokens, one_plugin).browse("login");
}

/// Scenario: every view, a form and a dialog, in light and dark, on a desk and on a phone. Guarantees: axe finds no violation of WCAG 2.2
/// AA.
#[test]
fn every_view_is_accessible() {
    Page::with_database(|home| home, one_plugin).browse("accessible");
}

/// Scenario: no mouse. Guarantees: all is reached with the keyboard, the focus is visible, editors and dialogs let it go.
#[test]
fn keyboard_is_enough() {
    Page::with_plugins(|home, _| json!([file_log(home)])).browse("keyboard");
}

/// Scenario: windows of 360 to 3840 pixels. Guarantees: no view is wider than its window, and text is large enough to read.
#[test]
fn every_view_fits_its_window() {
    Page::with_database(|home| home, one_plugin).browse("sizes");
}
