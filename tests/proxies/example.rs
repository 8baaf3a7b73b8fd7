//! The examples of the proxies as they are: their files, but for ports and folders, and the commands of their READMEs.

use serde_json::json;

use super::program::Program;
use super::scenario::message;
use super::{example, replace};
use crate::service::{Home, Upstream, free_port, request};

/// An example: its folder, the files of the proxy, its ports in them, and the commands of its README.
struct Example {
    name: &'static str,
    files: &'static [&'static str],
    /// The port of the proxy, and that of Logphase's input.
    ports: (u16, u16),
    /// The proxy's command in the README; `FOLDER` is the example's folder.
    command: &'static str,
    upstream_status: bool,
}

impl Example {
    /// Runs the commands; first without a service behind the proxy, then with one.
    fn run(&self) {
        let Self { name, files, ports: (listen, input), command, upstream_status } = *self;
        let readme = example(&format!("{name}/README.md"));
        let run = format!("logphase run examples/{name}/kong.yml --settings examples/{name}/logphase.yml");
        let ask = format!("curl 'http://127.0.0.1:{listen}/v1/orders?limit=10'");
        for text in [&run, &command.replace("FOLDER", &format!("examples/{name}")), &ask] {
            assert!(readme.contains(text), "{text}");
        }
        let (own_listen, own_input, own_upstream) = (free_port(), free_port(), free_port());
        // In two steps: a new port may have the digits of an old one.
        let ports =
            [(listen, "<LISTEN>", own_listen), (input, "<INPUT>", own_input), (8080, "<UPSTREAM>", own_upstream)];
        let with_ports = |text: &str| {
            let marked =
                ports.iter().fold(text.to_owned(), |text, (from, mark, _)| text.replace(&from.to_string(), mark));
            ports.iter().fold(marked, |text, (_, mark, to)| text.replace(mark, &to.to_string()))
        };
        let home = Home::new();
        let log = home.text("messages");
        home.write(
            "kong.yml",
            &replace(&example(&format!("{name}/kong.yml")), &format!("/tmp/logphase-{name}.log"), &log),
        );
        home.write("logphase.yml", &with_ports(&example(&format!("{name}/logphase.yml"))));
        let mut service = home.start_with(&["run", "kong.yml", "--settings", "logphase.yml"]);
        let texts: Vec<_> = files
            .iter()
            .map(|file| (*file, with_ports(&example(&format!("{name}/{file}"))).replace("/tmp", "DIR")))
            .collect();
        let texts: Vec<_> = texts.iter().map(|(file, text)| (*file, &**text)).collect();
        let command = command.replace("\"$PWD\"/", "").replace("FOLDER", "DIR");
        let words: Vec<_> = command.split(' ').collect();
        let _proxy = Program::start(&words, &texts, &[own_listen]);

        let host = [("host", &*format!("127.0.0.1:{own_listen}"))];
        let exchange = request(own_listen, "GET", "/v1/orders?limit=10", &host, "");
        let status: u16 = exchange.head.word().parse().unwrap();
        assert!([502, 503].contains(&status), "{status}");
        let logged = message(&service, "messages", "/v1/orders?limit=10");
        let slow = logged["latencies"]["request"].as_u64().unwrap() > 1000;
        assert_eq!((&logged["response"]["status"], &logged["slow"]), (&json!(status), &json!(slow)), "{logged}");
        assert_eq!((&logged["route"]["name"], &logged["service"]["name"]), (&json!("orders-v1"), &json!("orders")));
        let _upstream = Upstream::start_at(own_upstream);
        // A proxy may leave the service alone for a while after a failure.
        let mut number = 11;
        let logged = loop {
            let path = format!("/v1/orders?limit={number}");
            let exchange = request(own_listen, "GET", &path, &host, "");
            if exchange.head.word() == "200" {
                break message(&service, "messages", &path);
            }
            assert!(number < 10_000, "the proxy does not find the service");
            number += 1;
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        assert_eq!(logged["response"]["status"], 200);
        assert!(!upstream_status || logged["upstream_status"] == "200", "{logged}");
        assert_eq!(service.stop(), 0);
    }
}

/// Scenario: the log formats of docs/mappings.md and those of the examples, which the tests run.
/// Guarantees: they are the same, line by line.
#[test]
fn documented_formats() {
    let page = include_str!("../../docs/mappings.md");
    let formats =
        [("nginx", "nginx/logphase.conf"), ("haproxy", "haproxy/haproxy.cfg"), ("apache", "apache/httpd.conf")];
    for (language, file) in formats {
        let block = page.split_once(&format!("```{language}\n")).and_then(|(_, rest)| rest.split_once("```"));
        let file = example(file);
        for line in block.expect("a log format").0.lines() {
            assert!(file.lines().any(|own| own.trim() == line.trim()), "{line}");
        }
    }
}

/// Scenario: the example for nginx, its files as they are but for ports and folders; the request of its README, without and
/// with a service behind nginx.
/// Guarantees: its commands start, and the messages say what happened, with the route and the service of kong.yml.
#[test]
fn nginx_example() {
    let files = &["nginx.conf", "logphase.conf"];
    let command = "nginx -c \"$PWD\"/FOLDER/nginx.conf";
    Example { name: "nginx", files, ports: (10080, 5140), command, upstream_status: true }.run();
}

/// Scenario: the same for HAProxy.
/// Guarantees: the same.
#[test]
fn haproxy_example() {
    let command = "haproxy -db -f FOLDER/haproxy.cfg";
    Example { name: "haproxy", files: &["haproxy.cfg"], ports: (10081, 5140), command, upstream_status: true }.run();
}

/// Scenario: the same for Caddy.
/// Guarantees: the same.
#[test]
fn caddy_example() {
    let command = "caddy run --config FOLDER/Caddyfile";
    Example { name: "caddy", files: &["Caddyfile"], ports: (10082, 5170), command, upstream_status: false }.run();
}

/// Scenario: the same for Apache.
/// Guarantees: the same.
#[test]
fn apache_example() {
    let command = "apache2 -DFOREGROUND -f \"$PWD\"/FOLDER/httpd.conf";
    Example { name: "apache", files: &["httpd.conf"], ports: (10083, 5140), command, upstream_status: true }.run();
}
