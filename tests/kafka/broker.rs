//! A real Apache Kafka: one process that is broker and controller (KRaft), with a listener for each login method.
//!
//! The benchmark uses it too, so it depends on nothing of the test harness.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::{Pid, Signal, kill_process};

/// The user of every SASL listener.
pub const USER: &str = "alice";
/// The user's password.
pub const PASSWORD: &str = "alice-secret";

/// Limit on Kafka's startup time on a busy machine.
const START: Duration = Duration::from_secs(120);

/// Runs a command in the background and kills it when a line arrives or standard input ends, and then removes the
/// directory. So Kafka ends on request, and also when the process that started it ends for any reason.
const WATCHER: &str = r#"
directory="$1"; log="$2"; shift 2
"$@" >"$log" 2>&1 &
broker=$!
if read -r line; then told=yes; else told=no; fi
kill -KILL "$broker"
wait "$broker" 2>/dev/null
[ "$told" = yes ] || rm -rf "$directory"
"#;

/// The broker's ports on `localhost`.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// No TLS, no SASL.
    pub plain: u16,
    /// SASL without TLS: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512.
    pub sasl: u16,
    /// TLS, with a client certificate.
    pub tls: u16,
    /// For the controller.
    pub controller: u16,
}

/// A running broker. Dropping it kills it and removes its directory.
pub struct Broker {
    /// The ports.
    pub ports: Ports,
    /// Its certificates.
    pub certificates: Certificates,
    directory: PathBuf,
    options: Vec<&'static str>,
    watcher: Option<(Child, ChildStdin)>,
}

impl Broker {
    /// Creates a new broker and waits until it is ready; `options` are for its Java.
    pub fn start(ports: Ports, options: &[&'static str]) -> Self {
        let directory = std::env::temp_dir().join(format!("logphase-kafka-{}-{}", std::process::id(), ports.plain));
        std::fs::create_dir_all(&directory).unwrap();
        let certificates = Certificates::make();
        let broker = Self { ports, certificates, directory, options: options.to_vec(), watcher: None };
        broker.write_settings();
        broker.format();
        let mut broker = broker;
        broker.restart();
        broker
    }

    /// The address without TLS and SASL.
    pub fn address(&self) -> String {
        format!("localhost:{}", self.ports.plain)
    }

    /// Kills the broker by SIGKILL and keeps its data.
    pub fn kill(&mut self) {
        let (mut watcher, mut stdin) = self.watcher.take().expect("it runs");
        stdin.write_all(b"\n").unwrap();
        watcher.wait().unwrap();
    }

    /// Starts the broker again with its existing data, and waits until it is ready.
    pub fn restart(&mut self) {
        assert!(self.watcher.is_none(), "it is there");
        let log = self.directory.join("broker.log");
        File::create(&log).unwrap();
        let java = self.java("kafka.Kafka");
        let mut watcher = Command::new("sh")
            .args(["-c", WATCHER, "sh"])
            .args([&self.directory, &log])
            .arg(java.get_program())
            .args(java.get_args())
            .arg(self.directory.join("server.properties"))
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C at a terminal ends the test, which then ends Kafka.
            .process_group(0)
            .spawn()
            .unwrap();
        let stdin = watcher.stdin.take().expect("it is piped");
        self.watcher = Some((watcher, stdin));
        let start = Instant::now();
        while !self.has_said("Kafka Server started") {
            assert!(start.elapsed() < START, "Kafka did not start\n{}", self.last_words());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the broker's process where it is, without its end: connections stay, and nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused broker go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let watcher = self.watcher.as_ref().expect("it runs").0.id();
        let children = std::fs::read_to_string(format!("/proc/{watcher}/task/{watcher}/children")).unwrap();
        let broker = children.split_ascii_whitespace().next().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        kill_process(broker.expect("the watcher has started the broker"), signal).unwrap();
    }

    /// Creates a topic with these settings, and waits until each partition has a leader that serves it.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", self.address()).create().unwrap();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        topic.config = settings.to_vec();
        let options = AdminOptions::new().request_timeout(Some(START));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let made = runtime.block_on(admin.create_topics([&topic], &options)).unwrap();
        assert_eq!(made, [Ok(name.to_owned())]);
        let reader: BaseConsumer = ClientConfig::new().set("bootstrap.servers", self.address()).create().unwrap();
        let is_served = |partition| reader.fetch_watermarks(name, partition, Duration::from_secs(5)).is_ok();
        let begun = Instant::now();
        while !(0..partitions).all(is_served) {
            assert!(begun.elapsed() < START, "a partition of {name} has no leader");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The segment files of a partition.
    pub fn segments(&self, topic: &str, partition: i32) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.directory.join(format!("data/{topic}-{partition}"))).unwrap();
        let files = files.map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
    }

    /// A command that runs a class of Kafka.
    pub fn java(&self, class: &str) -> Command {
        let mut java = java();
        match class {
            "kafka.Kafka" => java.args(&self.options),
            _ => java.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"),
        };
        java.arg(class);
        java
    }

    /// Whether the broker has logged this since its start.
    pub fn has_said(&self, text: &str) -> bool {
        let log = File::open(self.directory.join("broker.log")).unwrap();
        BufReader::new(log).lines().map_while(Result::ok).any(|line| line.contains(text))
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.directory.join("broker.log")).unwrap();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Formats the data directory before the first start; it includes the SCRAM users.
    fn format(&self) {
        let mut format = self.java("kafka.tools.StorageTool");
        format.args(["format", "--cluster-id", "bG9ncGhhc2UtdGVzdHMtMQ", "--config"]);
        format.arg(self.directory.join("server.properties"));
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            format.args(["--add-scram", &format!("{mechanism}=[name={USER},password={PASSWORD}]")]);
        }
        let done = format.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn write_settings(&self) {
        let Ports { plain, sasl, tls, controller } = self.ports;
        let data = self.directory.join("data");
        let data = data.display();
        let ca = self.write("ca.pem", &self.certificates.ca);
        let server = self.write("server.pem", &self.certificates.server);
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@localhost:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAIN\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,CONTROLLER:PLAINTEXT\n\
             listeners=PLAIN://localhost:{plain},SASL://localhost:{sasl},TLS://localhost:{tls},\
             CONTROLLER://localhost:{controller}\n\
             log.dirs={data}\n\
             auto.create.topics.enable=false\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=1\n\
             broker.heartbeat.interval.ms=500\n\
             # A killed broker may register again when its last session has ended.\n\
             broker.session.timeout.ms=3000\n\
             listener.name.tls.ssl.keystore.type=PEM\n\
             listener.name.tls.ssl.keystore.location={server}\n\
             listener.name.tls.ssl.truststore.type=PEM\n\
             listener.name.tls.ssl.truststore.location={ca}\n\
             listener.name.tls.ssl.client.auth=required\n\
             listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             listener.name.sasl.plain.sasl.jaas.config=\
             org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n"
        );
        for mechanism in ["scram-sha-256", "scram-sha-512"] {
            writeln!(
                text,
                "listener.name.sasl.{mechanism}.sasl.jaas.config=\
                 org.apache.kafka.common.security.scram.ScramLoginModule required;"
            )
            .unwrap();
        }
        self.write("server.properties", &text);
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().expect("a temporary directory has a plain name").to_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- what Kafka said last ---\n{}\n---", self.last_words());
        }
        match self.watcher.take() {
            Some((mut watcher, stdin)) => {
                drop(stdin);
                let _ = watcher.wait();
            }
            None => drop(std::fs::remove_dir_all(&self.directory)),
        }
    }
}

/// Java with Kafka's classes.
fn java() -> Command {
    static JARS: OnceLock<PathBuf> = OnceLock::new();
    let jars = JARS.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
        let fetch = Command::new(root.join(".ci/kafka")).arg(built.join("kafka")).output().unwrap();
        assert!(fetch.status.success(), "{}", String::from_utf8_lossy(&fetch.stderr));
        let version = Command::new("java").arg("-version").output();
        assert!(version.is_ok_and(|version| version.status.success()), "java is not installed; run: make test-tools");
        String::from_utf8(fetch.stdout).unwrap().trim_end().into()
    });
    let mut java = Command::new("java");
    java.args(["-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"]);
    java.arg("-cp").arg(jars.join("*"));
    java
}

/// PEM of a certificate authority and of the certificates that it has signed, each with its key.
pub struct Certificates {
    /// The authority's certificate.
    pub ca: String,
    /// The broker's, for `localhost`.
    pub server: String,
    /// A client's certificate.
    pub client: String,
    /// The client's key.
    pub client_key: String,
}

impl Certificates {
    fn make() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of a test");
        let key = rcgen::KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let sign = |name: &str| {
            let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            let key = rcgen::KeyPair::generate().unwrap();
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        let ((server, server_key), (client, client_key)) = (sign("localhost"), sign("logphase"));
        Self { ca: ca.pem(), server: format!("{server_key}{server}"), client, client_key }
    }
}
