//! A real rsyslogd, of the Debian packages `rsyslog` and `rsyslog-openssl`, that can stop and restart.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use super::{Messages, TIMEOUT, free_port, wait_for_end, wait_until, whole_lines};

/// One message as parsed by rsyslogd.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// `user`, `local3` and so on.
    pub facility: String,
    /// `info`, `err` and so on.
    pub severity: String,
    /// The sender's host, from the message or the connection.
    pub hostname: String,
    /// The sender's program.
    pub program: String,
    /// The program's process id.
    pub process: String,
    /// `1` for RFC 5424, `0` for RFC 3164.
    pub version: String,
    /// The message's time.
    pub time: String,
    /// The message; after a header of RFC 3164 with the space before it.
    pub message: String,
}

/// A syslog daemon with two local sockets and two ports, which writes everything it receives to a file.
pub struct Rsyslog {
    directory: TempDir,
    /// The UDP port.
    pub udp: u16,
    /// The TCP port.
    pub tcp: u16,
    running: Option<Child>,
}

impl Rsyslog {
    /// A daemon with plain TCP.
    pub fn start() -> Self {
        let mut daemon = Self::prepare("", "");
        daemon.restart();
        daemon
    }

    /// A daemon with TLS instead of plain TCP, and its certificate for `localhost`.
    pub fn start_certified() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = "defaultNetstreamDriverCAFile=\"DIR/cert.pem\" defaultNetstreamDriverCertFile=\"DIR/cert.pem\" \
                     defaultNetstreamDriverKeyFile=\"DIR/key.pem\"";
        let driver = "streamDriver.name=\"ossl\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\"";
        let mut daemon = Self::prepare(files, driver);
        std::fs::write(daemon.directory.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(daemon.directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        daemon.restart();
        (daemon, made.cert.pem())
    }

    fn prepare(files: &str, driver: &str) -> Self {
        let (directory, udp, tcp) = (TempDir::new().unwrap(), free_port(), free_port());
        let path = directory.path().to_str().expect("a temporary directory has a plain name").to_owned();
        let text = CONFIGURATION.replace("UDP", &udp.to_string()).replace("TCP", &tcp.to_string());
        let text = text.replace("FILES", files).replace("DRIVER", driver).replace("DIR", &path);
        std::fs::write(directory.path().join("rsyslog.conf"), text).unwrap();
        Self { directory, udp, tcp, running: None }
    }

    /// The socket for local programs, like /dev/log: for RFC 3164 without a host name.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// A local socket for the format used on the network.
    pub fn network_like_socket(&self) -> PathBuf {
        self.directory.path().join("log-any")
    }

    /// Starts the daemon again and waits until it receives messages.
    pub fn restart(&mut self) {
        assert!(self.running.is_none(), "it is there");
        let directory = self.directory.path().to_owned();
        let path = |name: &str| directory.join(name);
        let said = std::fs::File::create(path("said")).unwrap();
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command.arg("-n").arg("-i").arg(path("pid")).arg("-f").arg(path("rsyslog.conf"));
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        self.running = Some(command.spawn().expect("rsyslogd of the Debian package rsyslog"));
        wait_until("rsyslogd receives messages", || {
            let ended = self.running.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "rsyslogd ended: {}", std::fs::read_to_string(path("said")).unwrap());
            let connects = |name: &str| UnixDatagram::unbound().unwrap().connect(path(name)).is_ok();
            connects("log") && connects("log-any") && TcpStream::connect(("127.0.0.1", self.tcp)).is_ok()
        });
    }

    /// Stops the daemon with SIGTERM and waits for its end.
    pub fn stop(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        kill_process(id, Signal::TERM).unwrap();
        assert!(wait_for_end(&mut child, 2 * TIMEOUT).is_some(), "rsyslogd did not end");
    }

    /// The messages received so far, parsed.
    pub fn records(&self) -> Vec<Record> {
        let text = std::fs::read_to_string(self.directory.path().join("out")).unwrap_or_default();
        whole_lines(&text)
    }

    /// The messages received.
    pub fn messages(&self) -> Messages {
        Messages::of(self.records().into_iter().map(|record| record.message))
    }

    /// Waits for this many messages and returns them.
    #[track_caller]
    pub fn wait_for(&self, messages: usize) -> Vec<Record> {
        wait_until(&format!("rsyslogd has {messages} messages"), || self.records().len() >= messages);
        self.records()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const CONFIGURATION: &str = r#"
global(workDirectory="DIR" maxMessageSize="1m" FILES)
main_queue(queue.timeoutShutdown="20000")
module(load="imuxsock" sysSock.use="off")
module(load="imudp")
module(load="imtcp" DRIVER)
template(name="record" type="list" option.jsonf="on") {
  property(outname="facility" name="syslogfacility-text" format="jsonf")
  property(outname="severity" name="syslogseverity-text" format="jsonf")
  property(outname="hostname" name="hostname" format="jsonf")
  property(outname="program" name="programname" format="jsonf")
  property(outname="process" name="procid" format="jsonf")
  property(outname="version" name="protocol-version" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}
ruleset(name="keep") { action(type="omfile" file="DIR/out" template="record") }
input(type="imuxsock" socket="DIR/log" ruleset="keep")
input(type="imuxsock" socket="DIR/log-any" useSpecialParser="off" parseHostname="on" ignoreTimestamp="off"
  ruleset="keep")
input(type="imudp" address="127.0.0.1" port="UDP" ruleset="keep")
input(type="imtcp" address="127.0.0.1" port="TCP" ruleset="keep")
"#;
