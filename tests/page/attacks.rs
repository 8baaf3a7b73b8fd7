//! A hostile person with a read-only session, who types into the playground: nothing of the machine is reached, and nothing is used up.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use super::Browser;
use crate::service::{Home, TIMEOUT, wait_until};

const SECRET: &str = "s3cret-of-the-machine";

/// What the process of the playground answers to `request`.
fn answer(home: &Home, request: &Value) -> Value {
    let ended = home.run(&["playground"], request.to_string().as_bytes());
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(!ended.stdout.contains(SECRET), "{}", ended.stdout);
    serde_json::from_str(&ended.stdout).unwrap()
}

fn fields(lua: &[&str]) -> String {
    let fields: serde_json::Map<String, Value> =
        lua.iter().enumerate().map(|(at, lua)| (format!("f{at}"), json!(lua))).collect();
    json!({"_format_version": "3.0", "plugins": [{"name": "file-log", "config": {"path": "/tmp/x", "custom_fields_by_lua": fields}}]})
        .to_string()
}

/// Scenario: variables, references to vaults that the pasted settings allow, files in the pasted settings and at paths of plugins, and Lua that
/// asks for any of it; the process has a secret in its environment, and a file beside it.
/// Guarantees: no secret is in the answer; no file is written, read or looked for: a path that exists and one that does not give the same answer;
/// each of it has a clear diagnostic.
#[test]
fn nothing_of_the_machine_is_read() {
    let home = Home::new().set("DECK_SECRET", SECRET).set("SECRET", SECRET);
    home.write("secret.txt", SECRET);
    let (file, written) = (home.text("secret.txt"), home.path("written"));
    let configuration = format!(
        "_format_version: '3.0'\nvaults: [{{name: env, prefix: mine, config: {{prefix: SEC}}}}]\nplugins:\n- name: http-log\n  config: {{http_endpoint: '{{vault://env/secret}}', \
         headers: {{a: '{{vault://mine/ret}}'}}}}\n- name: file-log\n  config:\n    path: {}\n    custom_fields_by_lua:\n      \
         vault: return kong.vault.get('{{vault://env/secret}}')\n      env: return os and os.getenv and os.getenv('SECRET')\n      \
         io: return io and io.open and io.open('{file}'):read('*a')\n      load: return loadfile and loadfile('{file}') and 1\n      \
         require: return require('{file}')\n      ngx: return ngx.var.env_SECRET or ngx.var.document_root\n- name: syslog\n  config: {{socket: {file}}}\n",
        written.display()
    );
    let settings = "vault: {env: {allow: [SECRET, 'SEC*']}}\n";
    let given = answer(&home, &json!({"configuration": configuration, "settings": settings, "transaction": "{}"}));
    let warnings = given["diagnostics"].to_string();
    assert!(warnings.contains("no secret is read here") && warnings.contains("{vault://env/secret}"), "{given:#}");
    assert_eq!(given["transactions"][0]["plugins"].as_array().unwrap().len(), 3, "{given:#}");
    assert!(!written.exists());

    let variable =
        "_format_version: '3.0'\nplugins: [{name: file-log, config: {path: '${{ env \"DECK_SECRET\" }}'}}]\n";
    let given = answer(&home, &json!({"configuration": variable, "transaction": "{}"}));
    assert!(given["diagnostics"].to_string().contains("no variable of the service is read here"), "{given:#}");

    let of_path = |path: &str| {
        let settings = format!("config: [{path}]\nadmin: {{tls: {{certificate: {path}, private_key: {path}}}}}\n");
        let mut given =
            answer(&home, &json!({"configuration": fields(&[]), "settings": settings, "transaction": "{}"}));
        given["transactions"][0]["plugins"][0]["micros"].take();
        given.to_string().replace(path, "PATH")
    };
    assert_eq!(of_path(&file), of_path(&home.text("missing.txt")));
    let included = json!({"configuration": "!include secret.txt\n", "transaction": "{}"});
    assert_ne!(answer(&home, &included)["diagnostics"], json!([]));
}

/// Scenario: endless Lua under deadlines of a minute; Lua and settings that take gigabytes; values of megabytes for many transactions; endless
/// logging; texts that grow by aliases; nesting without an end; a pattern that explodes; megabytes of mistakes.
/// Guarantees: each is answered or ended soon, within the bounds of time, memory and output.
#[test]
fn nothing_is_used_up() {
    let browser = Browser::open(Home::new(), &["run"]);
    let ask = |body: Value| {
        let answer = browser.ask("POST", "/api/playground", &body);
        assert!(answer.status == 200 && answer.body.len() <= 4 << 20, "{} {}", answer.status, answer.body.len());
        answer.json()
    };
    let slow = "lua: {deadline_ms: 60000, plugin_deadline_ms: 60000, memory_limit: 100GiB, max_value_bytes: 1GiB, log_per_second: 1000000}\n";
    let with = |lua: &[&str], settings: &str, transactions: usize| {
        ask(json!({"configuration": fields(lua), "settings": settings, "transaction": "{}\n".repeat(transactions)}))
    };
    assert_eq!(with(&["while true do end"], slow, 1)["stopped"], "time");
    let memory = with(&["local t = {} for i = 1, 1e9 do t[i] = {i} end"], slow, 1);
    assert!(memory["stopped"] == "memory" || memory["transactions"].to_string().contains("memory"), "{memory:#}");
    let stopped = with(&["local s = 'x' for i = 1, 19 do s = s .. s end return s"], "", 30);
    assert!(
        stopped["stopped"] == "output" && stopped["transactions"].as_array().unwrap().len() < 8,
        "{}",
        stopped["stopped"]
    );
    let logged =
        with(&["local s = 'x' for i = 1, 12 do s = s .. s end for i = 1, 100000 do kong.log.err(s) end"], slow, 1);
    assert!(logged["stopped"] == "time" || logged["log"].to_string().len() < 1 << 20);
    assert_eq!(
        with(&["while true do end"], "lua: {deadline_ms: 20}", 3)["transactions"][0]["plugins"][0]["errors"][0]["field"],
        "f0"
    );
    let aliases: String = (1..30).map(|n| format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1)).collect();
    let bombs = [
        format!("a0: &a0 [x, x]\n{aliases}"),
        "[".repeat(100_000),
        format!("plugins:\n{}", "- {name: x\n".repeat(50_000)),
        format!("_format_version: '3.0'\nplugins:\n{}", "- {name: file-log, config: {pathh: 1}}\n".repeat(20_000)),
        format!(
            "_format_version: '3.0'\nplugins: [{{name: file-log, config: {{path: /x, redact: [{{pattern: '{}'}}]}}}}]",
            "(a{999}){999}"
        ),
    ];
    for bomb in bombs {
        let answer = ask(json!({"configuration": bomb, "transaction": "{}"}));
        let found = answer["diagnostics"].as_array().unwrap().len();
        assert!((found > 0 && found <= 250) || !answer["stopped"].is_null(), "{}: {answer:#}", &bomb[..40]);
    }
    let deep = ask(json!({"configuration": fields(&[]), "transaction": "[".repeat(1_000_000)}));
    assert_eq!(deep["diagnostics"][0]["source"], "transaction");
    let large = json!({"configuration": "x".repeat(9 << 20), "transaction": "{}"});
    assert_eq!(browser.ask("POST", "/api/playground", &large).status, 413);
    let after = with(&["return 1"], "", 1);
    assert_eq!(after["transactions"][0]["plugins"][0]["after"]["f0"], 1, "{after:#}");
}

/// The processes whose parent is the process `parent`.
fn children(parent: u32) -> Vec<u32> {
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(&parent.to_string())
    };
    processes.filter(is_child).collect()
}

/// Scenario: endless Lua in the playground of a service with secrets in its environment and in its open files, seen from outside.
/// Guarantees: neither the process nor the one that started it has anything in its environment but a word for its allocator, or an open file but its pipes; every thread of it is
/// restricted by seccomp, and it may not gain rights; all of it ends with the service.
#[test]
fn its_processes_have_nothing() {
    let home = Home::new().set("LOGPHASE_REDACT_KEY", format!("{SECRET}-key")).set("LOGPHASE_LUA_DEADLINE_MS", "60000");
    let mut browser = Browser::open(home.set("LOGPHASE_LUA_PLUGIN_DEADLINE_MS", "60000"), &["run"]);
    let keepers = children(browser.service.id());
    let [keeper] = keepers[..] else { panic!("{keepers:?}") };
    let body = json!({"configuration": fields(&["while true do end"]), "transaction": "{}"});
    let (port, start) = (browser.port, Instant::now());
    let asking = std::thread::spawn(move || {
        // More than one, so that a process is there to be looked at.
        for _ in 0..4 {
            let headers = super::MARKED;
            let _ = crate::admin::send(port, "POST", "/api/playground", headers, body.to_string().as_bytes());
        }
    });
    let read =
        |process: u32, name: &str| std::fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
    let files = |process: u32| -> Vec<PathBuf> {
        let open = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        open.filter_map(|file| std::fs::read_link(file.path()).ok()).collect()
    };
    let is_confined = |process: u32| {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let status: Vec<String> =
            threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok()).collect();
        status.len() >= 3 && status.iter().all(|text| text.contains("Seccomp:\t2") && text.contains("NoNewPrivs:\t1"))
    };
    wait_until("a process is confined", || children(keeper).into_iter().any(is_confined));
    let mut seen = 0;
    while seen == 0 {
        assert!(start.elapsed() < TIMEOUT, "no process was seen while it ran");
        for process in children(keeper).into_iter().filter(|process| is_confined(*process)) {
            let (environment, open) = (read(process, "environ"), files(process));
            if is_confined(process) {
                assert_eq!(environment, "MIMALLOC_ARENA_RESERVE=0\0");
                assert!(
                    open.iter().all(|file| file.to_string_lossy().starts_with("pipe:") || file.ends_with("null")),
                    "{open:?}"
                );
                seen += 1;
            }
        }
    }
    assert_eq!(read(keeper, "environ"), "MIMALLOC_ARENA_RESERVE=0\0");
    assert!(files(keeper).iter().all(|file| file.to_string_lossy().starts_with("pipe:") || file.ends_with("null")));
    asking.join().unwrap();
    browser.service.stop();
    wait_until("the keeper has ended", || !PathBuf::from(format!("/proc/{keeper}")).exists());
}
