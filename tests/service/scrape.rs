//! The answers of a service's status listener, and its metrics as numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::TIMEOUT;

/// Sends a request to a local port: status code, head in lower case, body.
pub fn ask(port: u16, method: &str, path: &str, headers: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
}

/// Name and labels of a sample.
pub type Series = (String, BTreeMap<String, String>);

/// One scrape of the metrics.
#[derive(Debug, Default)]
pub struct Scrape {
    /// Every sample.
    pub samples: BTreeMap<Series, f64>,
    /// Type and description of each metric.
    pub families: BTreeMap<String, (String, String)>,
    /// The raw text.
    pub text: String,
}

impl Scrape {
    /// Scrapes the service with this status port.
    pub fn of(port: u16) -> Self {
        let (status, head, text) = ask(port, "GET", "/metrics", "");
        assert_eq!(status, 200, "{text}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        Self::read(text)
    }

    fn read(text: String) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            if let Some((name, rest)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
                scrape.families.entry(name.to_owned()).or_default().1 = rest.to_owned();
            } else if let Some((name, rest)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
                scrape.families.entry(name.to_owned()).or_default().0 = rest.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let before = scrape.samples.insert(series_of(series), value.parse().unwrap());
                assert_eq!(before, None, "{series} is there twice");
            }
        }
        scrape.text = text;
        scrape
    }

    /// The sum of all samples of this name with these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &Series| {
            series.0 == name && labels.iter().all(|(label, value)| series.1.get(*label).is_some_and(|it| it == value))
        };
        self.samples.iter().filter(|(series, _)| has(series)).map(|(_, value)| value).sum()
    }

    /// The plugins, by name and id.
    pub fn plugins(&self) -> BTreeSet<(String, String)> {
        let messages = self.samples.keys().filter(|(name, _)| name == "logphase_messages_total");
        messages.map(|(_, labels)| (labels["plugin"].clone(), labels["id"].clone())).collect()
    }

    /// Fails unless the metrics account for every message.
    #[track_caller]
    pub fn assert_sums(&self) {
        for (plugin, id) in self.plugins() {
            let of = |name: &str| self.sum(&format!("logphase_{name}"), &[("plugin", &plugin), ("id", &id)]);
            let came = of("messages_total") + of("messages_recovered_total");
            let parts = [
                "messages_delivered_total",
                "queue_messages",
                "messages_dropped_total",
                "messages_dead_lettered_total",
            ]
            .map(of);
            assert_eq!(came, parts.iter().sum::<f64>(), "{plugin} {id}: {parts:?}\n{}", self.text);
        }
    }

    /// Fails if a counter is lower than `before`, or missing.
    #[track_caller]
    pub fn assert_follows(&self, before: &Self) {
        for (series, was) in &before.samples {
            let family = ["_bucket", "_count", "_sum"].iter().find_map(|end| series.0.strip_suffix(end));
            let is = |name: &str, sort: &str| before.families.get(name).is_some_and(|family| family.0 == sort);
            if is(&series.0, "counter") || family.is_some_and(|family| is(family, "histogram")) {
                let now = self.samples.get(series).unwrap_or_else(|| panic!("{series:?} is gone"));
                assert!(now >= was, "{series:?} went down from {was} to {now}");
            }
        }
    }

    /// Fails unless promtool accepts the text.
    #[track_caller]
    pub fn assert_sound(&self) {
        let mut command = Command::new("promtool");
        command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut tool = command.stderr(Stdio::piped()).spawn().expect("promtool is there: .ci/tools promtool");
        tool.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        let ended = tool.wait_with_output().unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        assert!(ended.status.success() && said.is_empty(), "{}\n{}", String::from_utf8_lossy(&said), self.text);
    }
}

fn series_of(text: &str) -> Series {
    let Some((name, labels)) = text.split_once('{') else { return (text.to_owned(), BTreeMap::new()) };
    let mut map = BTreeMap::new();
    let mut rest = labels.strip_suffix('}').unwrap();
    while let Some((label, value)) = rest.split_once("=\"") {
        let mut text = String::new();
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                (_, other) => text.push(other),
            }
        };
        map.insert(label.to_owned(), text);
        rest = value[end + 1..].trim_start_matches(',');
    }
    (name.to_owned(), map)
}
