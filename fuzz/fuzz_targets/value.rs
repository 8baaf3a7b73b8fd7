//! Lua values as JSON: the bytes become snippets that return tables and run as fields.

#![no_main]

#[path = "lua/mod.rs"]
mod lua;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use logphase_script::message::{KeyPath, Message, Style};
use logphase_script::{Busy, Clock, Limits, Options, SourceLimits, Vm, compile, prepare};
use logphase_script::transaction::{self, Transaction};
use serde::de::IgnoredAny;

/// Snippets that a VM loads before it is replaced: snippets are never unloaded.
const SNIPPETS: u32 = 500;

const TRANSACTION: &str = r#"{"request":{"headers":{"host":"h","x-many":["one","two"]},"querystring":{}},"tries":[],
    "latencies":{"kong":3},"route":{"paths":[],"name":"r"},"upstream_status":"200"}"#;

const KEYS: &[&str] =
    &["v", "v.w", "v[1]", "v[3].x", "tries[2]", "request.headers.host", "latencies.kong", "a\\.b", ""];

struct Bench {
    vm: Vm,
    left: u32,
    style: Style,
    quirks: bool,
}

impl Bench {
    fn new(quirks: bool) -> Self {
        // No value takes this long, even on a busy machine.
        let deadline = Duration::from_secs(5);
        let limits = Limits { deadline, plugin_deadline: 2 * deadline, ..Limits::default() };
        let style = Style::of(quirks);
        let options = Options { limits, style, kong_quirks: quirks, ..Options::default() };
        Self { vm: Vm::new(&options).expect("room for a VM"), left: SNIPPETS, style, quirks }
    }

    fn begin(&self) {
        let limits = transaction::Limits::default();
        let transaction = Transaction::parse(TRANSACTION.into(), &limits).expect("a sound transaction");
        self.vm.begin(Message::new(transaction, self.style));
    }

    fn message(&self) -> Vec<u8> {
        self.vm.with_message(|message| message.to_vec()).expect("a transaction is at hand")
    }

    /// Runs `code` as the field `key`.
    fn field(&mut self, key: &str, code: &str) {
        let Ok(bytecode) = compile(code, &SourceLimits::default()) else { panic!("not Lua: {code}") };
        let Ok(snippet) = self.vm.load(&bytecode) else { return };
        self.left = self.left.saturating_sub(1);
        let before = self.message();
        let result = self.vm.run_field(snippet, &KeyPath::parse(key, self.quirks));
        let after = self.message();
        match result {
            Ok(()) => assert_json(&after, code),
            Err(error) => {
                assert_eq!(before, after, "a failed edit changes nothing: {code}");
                assert!(!error.message.is_empty() && error.message.len() < 1100, "{code}: {error}");
                assert!(!error.message.contains(char::is_control), "{code}: {error}");
            }
        }
    }
}

/// Checks that the message is valid JSON.
fn assert_json(message: &[u8], code: &str) {
    let text = std::str::from_utf8(message).unwrap_or_else(|error| panic!("{code}: {error}"));
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        panic!("{code}: {error} in {text}");
    }
}

thread_local! {
    static CLOCK: Busy = {
        prepare();
        let clock: Arc<Clock> = Clock::start().expect("a thread");
        clock.busy()
    };
    static BENCHES: RefCell<[Option<Bench>; 2]> = const { RefCell::new([None, None]) };
}

// The first byte selects the quirks. Fields follow: a byte for the key, then the value.
fuzz_target!(|data: &[u8]| {
    CLOCK.with(|_| ());
    let mut source = lua::Source::new(data);
    let quirks = source.byte() & 1 == 1;
    BENCHES.with_borrow_mut(|benches| {
        let place = &mut benches[usize::from(quirks)];
        let bench = match place {
            Some(bench) if bench.left > 0 => bench,
            _ => place.insert(Bench::new(quirks)),
        };
        bench.begin();
        for _ in 0..3 {
            let key = KEYS[usize::from(source.byte()) % KEYS.len()];
            let code = source.snippet();
            bench.field(key, &code);
            if source.is_empty() {
                break;
            }
        }
        bench.vm.end();
    });
});
