//! Throughput of one worker thread, compared with two baselines in the same run. Machines are noisy: compare the ratios.
//!
//! Every row covers the whole path from a transaction's bytes to lines in a file: validate, plan, Lua, encode, write.
//! "split" validates and splits the top level with serde_json's raw values and writes it; "tree" parses to a
//! serde_json tree, serializes and writes it. Rounds of all rows take turns; each figure is the median of its rounds. What one
//! thread does is measured by the time that it computes, what two do by the clock on the wall.
//!
//! `cargo bench --bench log_phase` (or `make bench`). With a row's name it runs only that row, for profiling:
//! `cargo bench --bench log_phase -- "3 fields"`.

#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![allow(missing_docs, reason = "a benchmark has no callers")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use logphase::declarative::{self, ReadOptions};
use logphase::entity::Configuration;
use logphase::phase::{Observer, Part, Program, Runner, SnippetRegistry};
use logphase::settings::Settings;
use logphase_config::diagnostic::SourceFile;
use logphase_script::message::BodyError;
use logphase_script::transaction::{Limits, Transaction};
use logphase_script::{Clock, ScriptError};
use rustix::time::{ClockId, clock_gettime};
use serde_json::value::RawValue;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of transactions in a round.
const ROUND: usize = 20_000;
/// Rounds of each row; the first is a warm-up.
const ROUNDS: usize = 8;
/// Size of a write in bytes.
const BLOCK: usize = 256 << 10;

/// The three fields of the main rows, then more of the same kinds.
const FIELDS: [(&str, &str); 10] = [
    ("agent", "return kong.request.get_header('user-agent')"),
    ("failed", "return kong.response.get_status() >= 500"),
    ("route", "return nil"),
    ("tenant", "return kong.request.get_header('x-tenant-id')"),
    ("kind", "if kong.response.get_status() < 400 then return 'ok' end return 'error'"),
    ("path", "return kong.request.get_path()"),
    ("request.headers.cookie", "return nil"),
    ("limit", "return kong.request.get_query_arg('limit')"),
    ("from", "return kong.client.get_ip()"),
    ("short", "return kong.request.get_path():match('^/[^/]+')"),
];

fn main() {
    // `cargo test` also runs benchmarks, with `--test`; this one contains no tests.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let transactions = transactions();
    let size = transactions.iter().map(Bytes::len).sum::<usize>() / transactions.len();
    let clock = Clock::start().expect("a thread can be started");
    let _busy = clock.busy();
    println!("{} transactions of {size} bytes a round, median of {} rounds", ROUND, ROUNDS - 1);

    let mut rows: Vec<Row<'_>> = Vec::new();
    rows.push(("baseline split".to_owned(), Box::new(|sink| split(&transactions, sink))));
    rows.push(("baseline tree".to_owned(), Box::new(|sink| tree(&transactions, sink))));
    for count in [0, 1, 3, 10] {
        let mut runner = Runner::new(program(&FIELDS[..count], 1)).expect("the snippets fit");
        let transactions = &transactions;
        rows.push((format!("{count} fields"), Box::new(move |sink| phase(&mut runner, transactions, sink))));
    }
    // Cargo's own arguments begin with a dash.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    rows.retain(|(name, _)| only.as_ref().is_none_or(|only| name == only));
    let mut rates = vec![Vec::new(); rows.len()];
    for round in 0..ROUNDS {
        for (row, rates) in rows.iter_mut().zip(&mut rates) {
            let mut sink = Sink::new("one");
            let start = computed();
            row.1(&mut sink);
            sink.flush();
            if round > 0 {
                rates.push(ROUND as f64 / (computed() - start).as_secs_f64());
            }
        }
    }
    let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    if only.is_some() {
        medians.iter().for_each(|rate| println!("{rate:.0} per second"));
        return;
    }
    println!("\n{:<16} {:>12} {:>10} {:>10}", "one thread", "per second", "of split", "of tree");
    for ((name, _), rate) in rows.iter().zip(&medians) {
        println!("{name:<16} {rate:>12.0} {:>10.2} {:>10.2}", rate / medians[0], rate / medians[1]);
    }
    workers(&transactions);
    start();
    call_costs(&transactions);
}

/// The time that this thread has computed. Other work on the machine adds little to it.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("less than a second"))
}

/// The name of a row, and the function that runs one round.
type Row<'a> = (String, Box<dyn FnMut(&mut Sink) + 'a>);

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A file that is written in blocks.
struct Sink {
    file: File,
    buffer: Vec<u8>,
}

impl Sink {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("logphase-bench-{}-{name}.log", std::process::id()));
        let file = File::create(&path).expect("the temporary directory can be written");
        // Unlinked at once, so that no file remains.
        std::fs::remove_file(&path).expect("just made");
        Self { file, buffer: Vec::with_capacity(BLOCK + (1 << 16)) }
    }

    fn end_line(&mut self) {
        self.buffer.push(b'\n');
        if self.buffer.len() >= BLOCK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.file.write_all(&self.buffer).expect("the disk has room");
        self.buffer.clear();
    }
}

impl Observer for Sink {
    fn message(&mut self, _: usize, message: Bytes) {
        self.buffer.extend_from_slice(&message);
        self.end_line();
    }

    fn failed(&mut self, _: Part, error: &ScriptError) {
        panic!("a snippet of the benchmark failed: {error}");
    }

    fn dropped(&mut self, _: usize) {}

    fn refused(&mut self, _: usize, _: &BodyError) {}
}

fn split(transactions: &[Bytes], sink: &mut Sink) {
    for bytes in transactions {
        let members: BTreeMap<&str, &RawValue> = serde_json::from_slice(bytes).expect("sound JSON");
        serde_json::to_writer(&mut sink.buffer, &members).expect("a buffer takes all");
        sink.end_line();
    }
}

fn tree(transactions: &[Bytes], sink: &mut Sink) {
    for bytes in transactions {
        let tree: serde_json::Value = serde_json::from_slice(bytes).expect("sound JSON");
        serde_json::to_writer(&mut sink.buffer, &tree).expect("a buffer takes all");
        sink.end_line();
    }
}

fn phase(runner: &mut Runner, transactions: &[Bytes], sink: &mut Sink) {
    let limits = Limits::default();
    for bytes in transactions {
        let transaction = Transaction::parse(bytes.clone(), &limits).expect("a sound transaction");
        let plan = runner.plan(&transaction);
        runner.run(transaction, &plan, sink);
    }
}

/// One and two worker threads with three fields, in turns.
fn workers(transactions: &[Bytes]) {
    let program = program(&FIELDS[..3], 1);
    let run = |count: usize| {
        let barrier = std::sync::Barrier::new(count + 1);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|number| {
                    let (program, barrier) = (program.clone(), &barrier);
                    scope.spawn(move || {
                        let mut runner = Runner::new(program).expect("the snippets fit");
                        let mut sink = Sink::new(&number.to_string());
                        phase(&mut runner, &transactions[..1000], &mut sink);
                        barrier.wait();
                        for _ in 0..3 {
                            phase(&mut runner, transactions, &mut sink);
                        }
                        sink.flush();
                    })
                })
                .collect();
            barrier.wait();
            let start = Instant::now();
            threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
            (count * 3 * ROUND) as f64 / start.elapsed().as_secs_f64()
        })
    };
    let mut ratios = Vec::new();
    let (mut ones, mut twos) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let (one, two) = (run(1), run(2));
        ratios.push(two / one);
        ones.push(one);
        twos.push(two);
    }
    println!(
        "\nthree fields, one worker {:.0}/s, two {:.0}/s, ratio {:.2}",
        median(&mut ones),
        median(&mut twos),
        median(&mut ratios)
    );
}

/// A thousand plugins of three fields: read, compile, load into one VM.
fn start() {
    let begin = Instant::now();
    let program = program(&FIELDS[..3], 1000);
    let compiled = begin.elapsed();
    let mut runner = Runner::new(program.clone()).expect("the environment fits");
    // Workers load them one by one, as their plugins first run.
    (0..program.steps.len()).for_each(|step| runner.load(step).expect("the snippets fit"));
    let loaded: Duration = begin.elapsed() - compiled;
    let memory = runner.used_memory() >> 10;
    println!(
        "1,000 plugins of 3 fields: read and compiled in {compiled:.0?}, loaded in {loaded:.0?}, {memory} KiB in the VM"
    );
}

/// The cost of a field compared with one that returns a constant.
fn call_costs(transactions: &[Bytes]) {
    let cost = |fields: &[(&str, &str)]| {
        let mut runner = Runner::new(program(fields, 1)).expect("the snippets fit");
        let mut sink = Sink::new("cost");
        let mut times: Vec<f64> = (0..3)
            .map(|_| {
                let start = computed();
                phase(&mut runner, transactions, &mut sink);
                (computed() - start).as_secs_f64() * 1e9 / ROUND as f64
            })
            .collect();
        median(&mut times)
    };
    let fields = [
        ("return 'x'", "return 'x'"),
        ("get_header", "return kong.request.get_header('user-agent')"),
        (
            "ngx.re.match, \"jo\"",
            r"return ngx.re.match(kong.request.get_header('user-agent'), [[(\w+)/([\d.]+)]], 'jo')[1]",
        ),
        ("ngx.re.find, \"jo\"", r"return (ngx.re.find('Mozilla/5.0 (X11; Linux)', [[(\w+)/([\d.]+)]], 'jo'))"),
    ];
    // Rounds take turns, so that a busy moment of the machine affects all fields.
    let mut times = vec![Vec::new(); fields.len() + 1];
    for _ in 0..5 {
        times[0].push(cost(&[]));
        for (field, times) in fields.iter().zip(&mut times[1..]) {
            times.push(cost(&[("a", field.1)]));
        }
    }
    let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
    println!("no field {:.0} ns", medians[0]);
    let constant = medians[1] - medians[0];
    for ((name, _), time) in fields.iter().zip(&medians[1..]) {
        let more = time - medians[0];
        println!("a field with {name:<20} {more:>6.0} ns more, {:.2} times `return 'x'`", more / constant);
    }
}

/// `plugins` file-logs with `fields`: one global plugin, or each on its own route.
fn program(fields: &[(&str, &str)], plugins: usize) -> Arc<Program> {
    let fields: serde_json::Map<_, _> = fields.iter().map(|(key, lua)| ((*key).to_owned(), (*lua).into())).collect();
    let plugin = |route: Option<String>| {
        let mut config = serde_json::json!({"path": "/dev/null"});
        if !fields.is_empty() {
            config["custom_fields_by_lua"] = fields.clone().into();
        }
        let mut plugin = serde_json::json!({"name": "file-log", "config": config});
        if let Some(route) = route {
            plugin["route"] = route.into();
        }
        plugin
    };
    let file = if plugins == 1 {
        serde_json::json!({"_format_version": "3.0", "plugins": [plugin(None)]})
    } else {
        let name = |number: usize| format!("route-{number}");
        let routes: Vec<_> = (0..plugins).map(|n| serde_json::json!({"name": name(n), "paths": ["/"]})).collect();
        let plugins: Vec<_> = (0..plugins).map(|n| plugin(Some(name(n)))).collect();
        serde_json::json!({"_format_version": "3.0", "routes": routes, "plugins": plugins})
    };
    let source = SourceFile::new("bench.yml", file.to_string());
    let (configuration, findings): (Configuration, _) =
        declarative::read(&[source], ReadOptions { select_tags: &[], env: &|_| None });
    assert!(findings.is_empty(), "{findings:?}");
    let program = Program::build(&configuration, &Settings::default()).expect("the snippets compile");
    // As the service does, so that no worker allocates what all of them read.
    program.prepare_totals(&SnippetRegistry::default());
    Arc::new(program)
}

/// Kong log objects of about 2 kB with different numbers.
fn transactions() -> Vec<Bytes> {
    let sample: serde_json::Value =
        serde_json::from_str(include_str!("../tests/conformance/003-header-added.json")).expect("a case");
    let mut transaction = sample["transaction"].clone();
    (0..ROUND)
        .map(|number| {
            transaction["request"]["id"] = format!("{number:032x}").into();
            transaction["response"]["status"] = [200, 404, 503][number % 3].into();
            transaction["started_at"] = (1_726_783_839_538_u64 + number as u64).into();
            Bytes::from(transaction.to_string())
        })
        .collect()
}
