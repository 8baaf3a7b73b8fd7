mod addresses;
mod catalogue;
mod cjson;
mod compile;
mod cost;
mod cost_random;
mod differences;
mod generated;
mod luajit;
mod modules;
mod names;
mod ngx;
mod pdk;
mod pdk_more;
mod phases;
mod programs;
mod re;
mod request_data;
mod stops;
mod strict;
mod values;

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::message::{KeyPath, Message, Style};
use crate::transaction::{self, Transaction};

/// A VM with one transaction.
struct Bench {
    vm: Vm,
    transaction: Transaction,
    options: Options,
    _busy: Busy,
}

impl Bench {
    /// With a deadline that no finite snippet of these tests reaches, even on a busy machine.
    fn on(transaction: &Value) -> Self {
        let long = Duration::from_secs(20);
        let limits = Limits { deadline: long, plugin_deadline: long, ..Limits::default() };
        Self::with(transaction, Options { limits, ..Options::default() })
    }

    fn quirky(transaction: &Value) -> Self {
        let mut options = Self::on(transaction).options;
        (options.kong_quirks, options.style) = (true, Style::KONG);
        Self::with(transaction, options)
    }

    fn with(transaction: &Value, options: Options) -> Self {
        let clock = Clock::start().expect("a thread");
        let busy = clock.busy();
        let vm = Vm::new(&options).expect("room for a VM");
        let mut bench = Self { vm, transaction: parse(transaction), options, _busy: busy };
        bench.begin();
        bench
    }

    /// Begins the transaction again, without edits and `kong.ctx`.
    fn begin(&mut self) {
        self.vm.begin(Message::new(self.transaction.clone(), self.options.style));
    }

    fn load(&mut self, code: &str) -> SnippetId {
        let bytecode = compile(code, &SourceLimits::default()).unwrap_or_else(|error| panic!("{code}: {error}"));
        self.vm.load(&bytecode).expect("room for a snippet")
    }

    /// Runs `code` as the field `key`.
    fn field(&mut self, key: &str, code: &str) -> FieldResult {
        let snippet = self.load(code);
        self.vm.run_field(snippet, &KeyPath::parse(key, self.options.kong_quirks))
    }

    /// Runs `code` as a pre-function.
    fn function(&mut self, code: &str) -> FieldResult {
        let snippet = self.load(code);
        self.vm.run_function(snippet)
    }

    /// The message's members, each as its text.
    fn members(&self) -> HashMap<String, String> {
        let text = self.vm.with_message(|message| message.to_vec()).expect("a transaction is at hand");
        let members: HashMap<String, Box<RawValue>> = serde_json::from_slice(&text).expect("a message is sound JSON");
        members.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect()
    }

    /// The value of a field with this `code` in a new transaction; "nothing" if it sets no field.
    fn eval(&mut self, code: &str) -> Result<String, ScriptError> {
        self.begin();
        self.field("v", code)?;
        Ok(self.members().remove("v").unwrap_or_else(|| "nothing".to_owned()))
    }

    /// Like [`Self::eval`], with errors as `error: TEXT`.
    fn shown(&mut self, code: &str) -> String {
        self.eval(code).unwrap_or_else(|error| format!("error: {error}"))
    }

    #[track_caller]
    fn gives(&mut self, cases: &[(&str, &str)]) {
        for (code, expected) in cases {
            assert_eq!(self.shown(code), *expected, "{code}");
        }
    }
}

fn parse(transaction: &Value) -> Transaction {
    let bytes = Bytes::from(transaction.to_string());
    Transaction::parse(bytes, &transaction::Limits::default()).expect("a sound transaction")
}

/// CPU time of this thread. Unlike wall time it does not depend on what else the machine does.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// The least CPU time of `work`, which runs again, three times at most, if it takes longer than `limit`: what a hypervisor takes
/// from the machine counts as CPU time of a thread, tens of milliseconds at worst.
fn least_cpu_time(limit: Duration, mut work: impl FnMut()) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..3 {
        let began = cpu_time();
        work();
        least = least.min(cpu_time() - began);
        if least <= limit {
            break;
        }
    }
    least
}

/// Runs `work` on a thread with a worker's stack; fails if it does not end.
fn in_time<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = mpsc::channel();
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(move || {
        let _ = done.send(work());
    });
    let thread = thread.expect("a thread");
    match result.recv_timeout(Duration::from_secs(120)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a script was not stopped"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("a thread that ends well has sent its result"),
        },
    }
}

/// A transaction in Kong's format.
fn sample() -> Value {
    json!({
        "client_ip": "10.0.0.9",
        "started_at": 1_700_000_000_123_u64,
        "latencies": {"kong": 3, "proxy": 40, "request": 1043, "receive": 2},
        "request": {
            "id": "r-1", "method": "POST", "size": 321,
            "uri": "/a%2fb/../c//d/%7Ex?x=1&y=&flag&x=2", "url": "https://Shop.Example:8443/c",
            "querystring": {"x": ["1", "2"], "y": "", "flag": true},
            "headers": {
                "host": "shop.example:8443", "user-agent": "curl/8", "x-many": ["one", "two"], "x_b": "under",
                "authorization": "Bearer s", "cookie": "a=1; session=s3; b=2"
            },
            "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "client_verify": "NONE"}
        },
        "response": {"status": 503, "size": 99, "headers": {"content-type": "text/html", "x-r": ["p", "q"]}},
        "upstream_status": "502, 200", "upstream_uri": "/up?x=1",
        "route": {"id": "rt", "name": "list", "paths": [], "protocols": ["http", "https"]},
        "service": {"id": "sv", "name": "orders"},
        "consumer": {"id": "cu", "username": "bob"},
        "authenticated_entity": {"id": "cred", "consumer_id": "cu"},
        "source": "upstream", "tries": [],
        "_context": {
            "request_body": "hello", "http_version": 2, "forwarded_scheme": "HTTP", "forwarded_host": "Front",
            "forwarded_port": 80, "forwarded_path": "/front", "forwarded_prefix": "/api", "forwarded_ip": "1.2.3.4",
            "client_port": 5555, "client_protocol": "https", "consumer_groups": ["gold"],
            "uri_captures": {"named": {"id": "7"}, "unnamed": ["7"]},
            "vars": {"hostname": "h1", "status": 200, "nothing": null, "list": ["a", "b"]},
            "shared": {"seen": 1}, "node": {"id": "n1", "hostname": "kong-1"}
        }
    })
}
