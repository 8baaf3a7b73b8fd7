//! The cost of a kilobyte of a transaction by its number of members, for each step of the log phase. It is to be flat: what is
//! linear in the bytes costs the same per kilobyte at every size.
//!
//! `cargo bench --bench members` (or `make bench`). Each figure is the least of several rounds, in microseconds per kB; the last
//! column is the largest divided by the smallest of a row.

#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![allow(missing_docs, reason = "a benchmark has no callers")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use logphase::decode::kong::Format;
use logphase::decode::mapping::Mappings;
use logphase::decode::{Decode, MappedDecoder};
use logphase_script::message::{BodyOptions, Include, KeyPath, Message, Mode, Shape, ShapeOptions, Style};
use logphase_script::transaction::{Limits, Transaction};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The numbers of members.
const SIZES: [usize; 4] = [10, 100, 1_000, 9_900];
const ROUNDS: usize = 9;
/// A round repeats its step for at least so long.
const ROUND: Duration = Duration::from_millis(15);

type Step<'a> = (&'a str, Box<dyn Fn(&Bytes) + 'a>);

fn main() {
    // `cargo test` also runs benchmarks, with `--test`; this one contains no tests.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let body = BodyOptions::new(Include::OFF, 100);
    let options = ShapeOptions { body: &body, redact: &[], hash_key: None, kong_quirks: false };
    let rules = json!({"redact": [{"key": "request.querystring.name-7"}, {"header": "cookie"}]});
    let shape = Shape::of(&rules, options).expect("sound rules");
    let below = KeyPath::parse("request.querystring.name-3", false);
    let steps: [Step<'_>; 4] = [
        ("parse", Box::new(|text| drop(black_box(read(text))))),
        ("serialize", Box::new(|text| drop(black_box(Message::new(read(text), Style::default()).to_vec())))),
        (
            "edit below",
            Box::new(|text| {
                let mut message = Message::new(read(text), Style::default());
                message.edit(&below, Some(b"1".to_vec()), Mode::Set).expect("a sound edit");
                drop(black_box(message.to_vec()));
            }),
        ),
        (
            "redact",
            Box::new(|text| {
                drop(black_box(Message::new(read(text), Style::default()).shaped(&shape).expect("no body")));
            }),
        ),
    ];
    println!("µs per kB of a transaction with so many query arguments; parsing is part of each row\n");
    print!("{:<28}", "");
    SIZES.iter().for_each(|size| print!("{size:>9}"));
    println!("{:>9}", "ratio");
    for (step, work) in &steps {
        for repeated in [false, true] {
            let costs = SIZES.map(|members| cost(&transaction(members, repeated), work));
            let (least, most) =
                costs.iter().fold((f64::MAX, 0.0_f64), |(least, most), cost| (least.min(*cost), most.max(*cost)));
            print!("{:<28}", format!("{step}, {}", if repeated { "repeated names" } else { "unique names" }));
            costs.iter().for_each(|cost| print!("{cost:>9.2}"));
            println!("{:>9.2}", most / least);
        }
    }
    mappings();
}

/// Lines of proxies, mapped to transactions.
fn mappings() {
    println!("\nlines of a proxy per second, read and mapped to transactions on one core\n");
    let samples: [(&str, &[u8]); 5] = [
        ("nginx", include_bytes!("../src/decode/mapping/samples/nginx.ndjson")),
        ("haproxy", include_bytes!("../src/decode/mapping/samples/haproxy.ndjson")),
        ("caddy", include_bytes!("../src/decode/mapping/samples/caddy.ndjson")),
        ("traefik", include_bytes!("../src/decode/mapping/samples/traefik.ndjson")),
        ("apache", include_bytes!("../src/decode/mapping/samples/apache.ndjson")),
    ];
    let all = Mappings::default();
    for (name, samples) in samples {
        let mapping = all.find(name).expect("a built-in mapping");
        let decoder = MappedDecoder::new(mapping, Format::Lines, Limits::default());
        let samples = Bytes::from_static(samples);
        let count = samples.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        let per_kb = cost(&samples, &|lines| {
            let mut transactions = Vec::new();
            decoder.decode(lines.clone(), &mut transactions).expect("sound lines");
            drop(black_box(transactions));
        });
        let seconds = per_kb * samples.len() as f64 / 1e9;
        let bytes = samples.len() / count;
        println!("mapping, {name:<10} {:>9.0} lines of {bytes} bytes", count as f64 / seconds);
    }
}

fn read(text: &Bytes) -> Transaction {
    Transaction::parse(text.clone(), &Limits::default()).expect("a sound transaction")
}

/// Microseconds per kB, the least of all rounds.
fn cost(text: &Bytes, work: &dyn Fn(&Bytes)) -> f64 {
    let round = || {
        let (begun, mut times) = (Instant::now(), 0_u32);
        while begun.elapsed() < ROUND {
            work(text);
            times += 1;
        }
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(times) / text.len() as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}

/// A transaction with so many query arguments, whose names are unique or appear twice each.
fn transaction(members: usize, repeated: bool) -> Bytes {
    let name = |at: usize| if repeated { at / 2 } else { at };
    let arguments: Vec<String> =
        (0..members).map(|at| format!("\"name-{}\":\"the value of an argument\"", name(at))).collect();
    let text = format!(
        "{{\"request\":{{\"uri\":\"/orders\",\"querystring\":{{{}}},\"headers\":{{\"cookie\":\"a=b\"}}}},\
         \"response\":{{\"status\":200}}}}",
        arguments.join(",")
    );
    Bytes::from(text)
}
