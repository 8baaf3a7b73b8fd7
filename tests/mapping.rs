//! Mappings: what other proxies log becomes transactions.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};

use serde_json::{Value, json};

use crate::service::{Home, configuration, free_port, wait_until, whole_lines};
use crate::service::{Scrape, ask};

/// A line of nginx with the log format of docs/mappings.md.
fn nginx(id: u64) -> String {
    format!(
        r#"{{"msec":"1795991989.103","rt":"0.019","uct":"-, 0.001","uht":"-, 0.003","urt":"0.000, 0.016","rl":"87","bs":"1163","st":"200","us":"502, 200","ua":"127.0.0.1:1, 127.0.0.1:2","id":"{id}","m":"GET","uri":"/a%20b?x=1","uu":"/a b","q":"x=1","sch":"http","host":"shop.example","port":"80","ra":"192.0.2.7","user":"","tv":"","tc":"","tv_ok":"","h_user_agent":"curl","h_content_type":"","h_referer":"","r_content_type":"text/plain"}}"#
    )
}

fn file_log(home: &Home) -> String {
    configuration(&json!([{"name": "file-log", "config": {"path": home.text("messages.log"), "custom_fields_by_lua": {
        "agent": "return kong.request.get_header('user-agent')",
    }}}]))
}

fn messages(home: &Home) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path("messages.log")).unwrap_or_default();
    whole_lines(&text)
}

/// Checks the message of [`nginx`].
fn assert_nginx(message: &Value, id: u64) {
    assert_eq!(message["request"]["id"], json!(id.to_string()));
    assert_eq!(message["request"]["querystring"], json!({"x": "1"}));
    assert_eq!(message["latencies"], json!({"request": 19, "proxy": 2, "receive": 13, "kong": 3}));
    assert_eq!(message["started_at"], json!(1_795_991_989_084_i64));
    assert_eq!((&message["upstream_status"], &message["source"]), (&json!("200"), &json!("upstream")));
    assert_eq!(message["agent"], "curl");
}

/// Scenario: `try` with a line of nginx, as JSON and for people; a misspelt name; the text of a mapping.
/// Guarantees: the transaction and the message are shown; members that the line lacks or that nothing reads are named; an
/// unknown name is an error with the near one; the text printed can be read.
#[test]
fn try_shows_what_a_mapping_makes() {
    let home = Home::new();
    home.write("kong.yml", &file_log(&home));
    let line = nginx(7).replace("\"rl\"", "\"zone\"");
    let ended = home.run(&["try", "kong.yml", "--mapping", "nginx", "--json"], line.as_bytes());
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let shown: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [made, message, report] = &shown[..] else { panic!("{}", ended.stdout) };
    assert_eq!((&made["mapping"], &made["transaction"]["nginx"]), (&json!("nginx"), &json!({"zone": "87"})));
    assert_nginx(&message["message"], 7);
    assert_eq!(report, &json!({"mapping": "nginx", "unseen": ["rl"], "unreadable": [], "unmapped": ["zone"]}));

    let people = home.run(&["try", "kong.yml", "--mapping", "nginx"], format!("{line}\n{}\n", nginx(8)).as_bytes());
    assert!(people.stdout.contains("# transaction 2\n\n## made by mapping `nginx`\n{"), "{}", people.stdout);
    assert!(people.stderr.contains("note: mapping `nginx`: the mapping does not read: zone"), "{}", people.stderr);

    let unknown = home.run(&["try", "kong.yml", "--mapping", "ngnix"], line.as_bytes());
    assert_eq!(unknown.code(), 78);
    assert!(unknown.stderr.contains("did you mean `nginx`?"), "{}", unknown.stderr);

    let printed = home.run(&["try", "--mapping", "caddy", "--print"], b"");
    assert_eq!(printed.code(), 0, "{}", printed.stderr);
    let own: String = printed.stdout.lines().map(|line| format!("    {line}\n")).collect();
    home.write("logphase.yml", &format!("mappings:\n  my-caddy:\n{own}"));
    let checked = home.run(&["check", "kong.yml"], b"");
    assert_eq!(checked.code(), 0, "{}", checked.stderr);
    let own = home.run(&["try", "--mapping", "my-caddy", "--json"], br#"{"status":204,"request":{"uri":"/?a"}}"#);
    assert!(own.stdout.contains(r#""querystring":{"a":true}"#), "{}", own.stdout);
}

/// Scenario: `run --stdin` with lines of nginx, one without its number in quotes where there is none, and one whose list is
/// not in quotes; then an unknown name. Guarantees: the first two are delivered, the third is refused with the member;
/// nothing runs with an unknown name.
#[test]
fn standard_input() {
    let home = Home::new();
    home.write("kong.yml", &file_log(&home));
    let repaired = nginx(2).replace("\"rl\":\"87\"", "\"rl\":");
    let refused = nginx(3).replace("\"502, 200\"", "502, 200");
    let input = format!("{}\n{repaired}\n{refused}\n", nginx(1));
    let ended = home.run(&["run", "kong.yml", "--stdin", "--mapping", "nginx"], input.as_bytes());
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("line 3: ") && ended.stderr.contains("after the value of `us`"), "{}", ended.stderr);
    let messages = messages(&home);
    assert_eq!(messages.len(), 2);
    assert_nginx(&messages[0], 1);
    assert_nginx(&messages[1], 2);
    assert_eq!(messages[1]["request"].get("size"), None);
    let unknown = home.run(&["run", "kong.yml", "--stdin", "--mapping", "nope"], input.as_bytes());
    assert_eq!(unknown.code(), 78);
    assert!(unknown.stderr.contains("the mappings are kong, nginx,"), "{}", unknown.stderr);
}

/// Scenario: inputs with mappings: TCP with nginx's, UDP with an own one, HTTP with Apache's, which gets an array; routes in the
/// configuration.
/// Guarantees: each input reads by its mapping; the routes of mapped transactions are found without a setting.
#[test]
fn inputs_name_mappings() {
    let home = Home::new();
    home.write(
        "kong.yml",
        &json!({
            "_format_version": "3.0",
            "services": [{"name": "shop", "host": "shop.internal", "routes": [{"name": "all", "hosts": ["shop.example"]}]}],
            "plugins": [{"name": "file-log", "config": {"path": home.text("messages.log")}}],
        })
        .to_string(),
    );
    let (tcp, udp) = (free_port(), free_port());
    home.write(
        "logphase.yml",
        &format!(
            "inputs:\n  tcp: {{listen: ['127.0.0.1:{tcp}'], mapping: nginx}}\n  udp: {{listen: ['127.0.0.1:{udp}'], mapping: \
             own}}\n  http: {{mapping: apache}}\nmappings:\n  own: {{members: {{client_ip: who, kept: {{rest: true}}}}}}\n"
        ),
    );
    let mut service = home.start();
    writeln!(TcpStream::connect(("127.0.0.1", tcp)).unwrap(), "{}", nginx(1)).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(br#"{"who":"198.51.100.1","n":1}"#, ("127.0.0.1", udp)).unwrap();
    service.accept(br#"[{"h_user_agent":"h\xc3\xa9"},{"us":"1500"}]"#);
    wait_until("all messages are written", || messages(&service.home).len() == 4);
    let messages = messages(&service.home);
    let find = |test: fn(&Value) -> bool| messages.iter().find(|message| test(message)).unwrap();
    let mapped = find(|message| message["source"] == "upstream");
    assert_eq!((&mapped["route"]["name"], &mapped["service"]["name"]), (&json!("all"), &json!("shop")));
    assert_eq!(find(|message| message["client_ip"] == "198.51.100.1")["kept"], json!({"n": 1}));
    assert_eq!(find(|message| message["request"]["headers"]["user-agent"] == "hé").get("latencies"), None);
    assert_eq!(find(|message| message["latencies"] == json!({"request": 1}))["latencies"]["request"], 1);
    assert_eq!(service.stop(), 0);
}

/// Scenario: settings with an unknown mapping of an input and a mistake in an own mapping; `check`, `run`, `try`, and a reload.
/// Guarantees: all refuse them with the same words, the place and the near name.
#[test]
fn mistakes_in_settings() {
    let home = Home::new();
    home.write("kong.yml", &file_log(&home));
    let mut service = home.start();
    let wrong = "inputs:\n  tcp:\n    mapping: caddi\nmappings:\n  own:\n    members:\n      a: {from: x, unit: sec}\n";
    service.home.write("logphase.yml", wrong);
    for command in [&["check", "kong.yml"][..], &["run", "kong.yml"], &["try", "kong.yml"]] {
        let ended = service.home.run(command, b"{}");
        assert_eq!(ended.code(), 78, "{}", ended.stderr);
        for part in ["logphase.yml:3:14", "there is no mapping `caddi`", "did you mean `caddy`?", "logphase.yml:7:26"] {
            let shown = format!("{}{}", ended.stdout, ended.stderr);
            assert!(shown.contains(part), "{command:?}: {part}: {shown}");
        }
    }
    service.signal(crate::service::Signal::HUP);
    wait_until("the reload is refused", || service.has_logged("there is no mapping `caddi`"));
    service.home.write("logphase.yml", "mappings: {own: {extends: nginx}}\n");
    service.signal(crate::service::Signal::HUP);
    wait_until("the restart is asked for", || service.has_logged("mappings: changed in the settings"));
    assert_eq!(service.stop(), 0);
}

/// Scenario: a thousand lines of a log format with a misspelt name.
/// Guarantees: `/status`, the metric and `top` name the member that never came, and the one that came instead; before that
/// number of lines nothing is said.
#[test]
fn a_member_that_never_came() {
    let (status, tcp) = (free_port(), free_port());
    let home = Home::new();
    home.write("kong.yml", &file_log(&home));
    let home = home
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"))
        .set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{tcp}"))
        .set("LOGPHASE_TCP_MAPPING", "nginx");
    let mut service = home.start();
    let mapping = || -> Value {
        let (_, _, body) = ask(status, "GET", "/status", "");
        serde_json::from_str::<Value>(&body).unwrap()["mappings"]["nginx"].clone()
    };
    let mut stream = TcpStream::connect(("127.0.0.1", tcp)).unwrap();
    let mut send = |ids: std::ops::Range<u64>| {
        let lines: String = ids.map(|id| nginx(id).replace("\"rl\"", "\"lr\"") + "\n").collect();
        stream.write_all(lines.as_bytes()).unwrap();
    };
    send(0..999);
    wait_until("all but one are read", || mapping()["transactions"] == 999);
    assert_eq!(mapping()["unseen"], json!([]));
    assert_eq!(Scrape::of(status).sum("logphase_mapping_unseen_members", &[("mapping", "nginx")]), 0.0);
    send(999..1000);
    wait_until("all are read", || mapping()["transactions"] == 1000);
    assert_eq!((&mapping()["unseen"], &mapping()["unmapped"]), (&json!(["rl"]), &json!(["lr"])));
    assert_eq!(Scrape::of(status).sum("logphase_mapping_unseen_members", &[("mapping", "nginx")]), 1.0);
    let top = service.home.run(&["top", "--once"], b"");
    let told = "mapping nginx: none of 1000 transactions had rl; they had lr, which it does not read";
    assert!(top.stdout.contains(told), "{}{}", top.stdout, top.stderr);
    assert_eq!(service.stop(), 0);
}
