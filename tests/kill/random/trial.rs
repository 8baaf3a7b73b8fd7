//! One service with its receivers and senders, through any number of ends, and what is left of its promises.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ending::Ending;
use super::receivers::{Mood, Protocol, Receiver};
use super::rng::Rng;
use super::senders::Senders;
use super::sized::sized;
use super::streams::Framing;
use crate::kafka::{self, broker::Broker, topic};
use crate::kill::checker::{Arrivals, Checker, Verdict, lines_of};
use crate::service::{Home, Scrape, Service, configuration, free_port, wait_until};

const TOPIC: &str = "random";

/// How long the rest may arrive without progress at the end.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Where a trial takes place.
pub struct Place {
    /// The data directory.
    pub data: PathBuf,
    /// The target of file-log.
    pub file: PathBuf,
}

/// The trial.
pub struct Trial {
    /// Decides about everything in the main thread.
    pub rng: Rng,
    /// The service.
    pub service: Service,
    /// The receiver of http-log.
    pub http: Receiver,
    /// The receiver of tcp-log.
    pub tcp: Receiver,
    /// The receiver of syslog.
    pub syslog: Receiver,
    kafka: Option<Broker>,
    kafka_runs: bool,
    has_power_cuts: bool,
    /// The target of file-log.
    pub file: PathBuf,
    senders: Senders,
    status: u16,
    /// How often the service was killed.
    pub kills: usize,
}

impl Trial {
    /// Starts everything but the service. Without a place, in the service's own directory.
    pub fn prepare(seed: u64, kafka: Option<Broker>, place: Option<Place>) -> Self {
        let mut rng = Rng::new(seed);
        let mut receiver = |protocol| Receiver::start(protocol, rng.fork(), sized);
        let http = receiver(Protocol::Http);
        let tcp = receiver(Protocol::Stream(Framing::Lines));
        let syslog = receiver(Protocol::Stream(Framing::Octets));
        let (home, status) = (Home::new(), free_port());
        let has_power_cuts = place.is_some();
        let place = place.unwrap_or_else(|| Place { data: home.path("data"), file: home.path("messages.log") });
        if let Some(broker) = &kafka {
            broker.create_topic(TOPIC, 1, &[]);
        }
        let mut plugins = plugins(&http, &tcp, &syslog, &place);
        plugins.extend(kafka.iter().map(|broker| kafka::kafka_log(broker, TOPIC, &json!({}))));
        home.write("kong.yml", &configuration(&json!(plugins)));
        let home = home
            .set("LOGPHASE_DATA_DIR", place.data.to_str().expect("a plain name"))
            .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"))
            .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1")
            .set("LOGPHASE_SHUTDOWN_TIMEOUT", "1");
        let senders = Senders::start(home.http, &mut rng, sized);
        let (kafka_runs, file) = (kafka.is_some(), place.file);
        let mut service = home.start();
        // The next start is the first of the trial.
        service.kill();
        Self { rng, service, http, tcp, syslog, kafka, kafka_runs, has_power_cuts, file, senders, status, kills: 1 }
    }

    /// The receivers of this process.
    pub fn receivers(&self) -> [&Receiver; 3] {
        [&self.http, &self.tcp, &self.syslog]
    }

    /// Number of transactions answered 200 so far.
    pub fn accepted(&self) -> u64 {
        self.senders.accepted()
    }

    /// Runs the service once, from its start to an end; receivers and broker misbehave meanwhile.
    pub fn round(&mut self, ending: Ending) {
        self.receivers().iter().for_each(|receiver| receiver.set_mood(Mood::Bad));
        // Files of other sizes: segments of 512 KiB to 8 MiB.
        let bound = self.rng.within(4..65);
        self.service.home.change("LOGPHASE_QUEUE_MAX_DISK_BYTES", format!("{bound}MiB"));
        self.service.launch_again();
        let pause = self.disturb_kafka();
        self.kills += usize::from(ending.bring(&mut self.service));
        if let (Some(broker), true) = (&self.kafka, pause) {
            broker.resume();
        }
    }

    /// Stops, kills or restarts the broker, or does nothing; returns whether it is stopped.
    fn disturb_kafka(&mut self) -> bool {
        let Some(broker) = &mut self.kafka else { return false };
        if !self.kafka_runs {
            broker.restart();
            self.kafka_runs = true;
            return false;
        }
        match self.rng.within(0..100) {
            0..15 => {
                broker.pause();
                true
            }
            15..20 => {
                broker.kill();
                self.kafka_runs = false;
                false
            }
            _ => false,
        }
    }

    /// Lets everybody behave, waits until everything has arrived, stops the service and judges each sink.
    pub fn finish(mut self) -> Vec<(&'static str, Verdict)> {
        self.receivers().iter().for_each(|receiver| receiver.set_mood(Mood::Good));
        if let Some(broker) = self.kafka.as_mut().filter(|_| !self.kafka_runs) {
            broker.restart();
        }
        self.service.home.change("LOGPHASE_QUEUE_MAX_DISK_BYTES", "1GiB");
        self.service.home.change("LOGPHASE_SHUTDOWN_TIMEOUT", "30");
        self.service.start_again();
        let goal = self.senders.accepted() + 50;
        wait_until("the service answers", || self.senders.accepted() >= goal);
        let sent = self.senders.finish();
        self.await_delivery();
        assert_eq!(self.service.stop(), 0);
        assert!(self.service.has_logged("nothing is left in the queues"), "{}", self.service.log());
        self.receivers().iter().for_each(|receiver| receiver.await_end());
        let checker = Checker::with(&sent, sized);
        let mut verdicts = vec![
            ("http-log", checker.judge(&self.http.arrivals())),
            ("tcp-log", checker.judge(&self.tcp.arrivals())),
            ("syslog", checker.judge(&self.syslog.arrivals())),
            ("file-log", checker.judge(&lines_of(&self.file, sized, self.has_power_cuts))),
        ];
        if let Some(broker) = &self.kafka {
            let mut arrivals = Arrivals::of(sized);
            topic::for_each_value(broker, TOPIC, |value| arrivals.take(value));
            verdicts.push(("kafka-log", checker.judge(&arrivals)));
        }
        verdicts
    }

    /// Waits until all queues are empty, for as long as they become shorter.
    fn await_delivery(&mut self) {
        let mut least = (f64::MAX, Instant::now());
        loop {
            let scrape = Scrape::of(self.status);
            let waiting = scrape.sum("logphase_queue_messages", &[]);
            if waiting == 0.0 {
                scrape.assert_sums();
                return;
            }
            if waiting < least.0 {
                least = (waiting, Instant::now());
            }
            assert!(least.1.elapsed() < STANDSTILL, "{waiting} messages wait and do not become fewer\n{}", scrape.text);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// One plugin for each receiver of this process, and a file; all queues are on disk.
fn plugins(http: &Receiver, tcp: &Receiver, syslog: &Receiver, place: &Place) -> Vec<Value> {
    let queue = json!({"durability": "disk"});
    let batches = json!({"max_batch_size": 20, "max_coalescing_delay": 0.01});
    let endpoint = format!("http://127.0.0.1:{}/", http.port);
    let stream = |port: u16| json!({"host": "127.0.0.1", "port": port, "timeout": 1000});
    let mut remote = stream(syslog.port);
    remote["transport"] = "tcp".into();
    remote["queue"] = queue.clone();
    vec![
        json!({"name": "http-log", "config": {"http_endpoint": endpoint, "timeout": 1000, "queue": batches}}),
        json!({"name": "tcp-log", "config": stream(tcp.port)}),
        json!({"name": "syslog", "config": remote}),
        json!({"name": "file-log", "config": {"path": place.file.to_str().expect("a plain name"), "queue": queue}}),
    ]
}
