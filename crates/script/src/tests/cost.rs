//! The cost of reading, editing, redacting and encoding a transaction is linear in its bytes, whatever its content.

use super::*;
use crate::message::{BodyOptions, Include, Mode, Shape, ShapeOptions};

/// How much more a byte of a large transaction may cost than one of a small transaction. A quadratic step would make it 20.
const TOLERANCE: u32 = 6;
const SMALL: usize = 450;
const LARGE: usize = 9_000;

/// A log object whose query string has `members` members, with names that are unique, or each repeated once.
fn with_arguments(members: usize, repeated: bool) -> String {
    let name = |at: usize| if repeated { at / 2 } else { at };
    let arguments: Vec<String> = (0..members).map(|at| format!("\"name-{}\":\"v\"", name(at))).collect();
    format!("{{\"request\":{{\"uri\":\"/\",\"querystring\":{{{}}}}},\"route\":{{}}}}", arguments.join(","))
}

/// A log object with `members` members itself.
fn with_members(members: usize, repeated: bool) -> String {
    let name = |at: usize| if repeated { at / 2 } else { at };
    let own: Vec<String> = (0..members).map(|at| format!("\"name-{}\":{{}}", name(at))).collect();
    format!("{{{}}}", own.join(","))
}

/// A log object with `members` request headers, all of them the same credential.
fn with_credentials(members: usize, _: bool) -> String {
    let headers = vec!["\"authorization\":\"secret\""; members];
    format!("{{\"request\":{{\"headers\":{{{}}}}}}}", headers.join(","))
}

/// A log object with `members` requests, each with headers.
fn with_requests(members: usize, _: bool) -> String {
    let requests = vec!["\"request\":{\"headers\":{\"a\":\"b\"}}"; members / 3];
    format!("{{{}}}", requests.join(","))
}

fn read(text: &str) -> Transaction {
    Transaction::parse(Bytes::copy_from_slice(text.as_bytes()), &transaction::Limits::default()).expect("sound")
}

/// The least CPU time per byte of several runs, in picoseconds.
pub(super) fn cost(text: &str, runs: usize, work: &dyn Fn(&str)) -> u128 {
    let run = || {
        let began = cpu_time();
        work(text);
        (cpu_time() - began).as_nanos() * 1000 / text.len() as u128
    };
    (0..runs).map(|_| run()).min().unwrap_or_default()
}

/// Scenario: log objects of 450 and of 9,000 members: arguments, members of the object itself, headers, requests; with
/// unique and with repeated names. Each is read; written; edited below a member, at the outermost level and within a large
/// object; redacted by key, by header, by query argument; and read by a snippet as a whole.
/// Guarantees: a byte of the large one costs about as much CPU time as one of the small one.
#[test]
fn work_is_linear_in_the_bytes() {
    let rules = json!([{"key": "request.querystring.name-7"}, {"header": "x"}, {"query": "name-8"}]);
    let body = BodyOptions::new(Include::OFF, 100);
    let options = ShapeOptions { body: &body, redact: &[], hash_key: None, kong_quirks: false };
    let shape = Shape::of(&json!({ "redact": rules }), options).expect("sound rules");
    let edit = |text: &str, key: &str| {
        let mut message = Message::new(read(text), Style::default());
        message.edit(&KeyPath::parse(key, false), Some(b"1".to_vec()), Mode::Set).expect("an edit");
        drop(message.to_vec());
    };
    type Step<'a> = (&'a str, Box<dyn Fn(&str) + 'a>);
    let steps: [Step<'_>; 6] = [
        ("read", Box::new(|text| drop(read(text)))),
        ("write", Box::new(|text| drop(Message::new(read(text), Style::default()).to_vec()))),
        ("write as Kong", Box::new(|text| drop(Message::new(read(text), Style::KONG).to_vec()))),
        ("edit below", Box::new(|text| edit(text, "request.querystring.name-3"))),
        ("edit", Box::new(|text| edit(text, "new"))),
        ("redact", Box::new(|text| drop(Message::new(read(text), Style::default()).shaped(&shape).expect("no body")))),
    ];
    type Make = fn(usize, bool) -> String;
    let shapes: [(&str, Make); 4] = [
        ("arguments", with_arguments),
        ("members", with_members),
        ("credentials", with_credentials),
        ("requests", with_requests),
    ];
    for (kind, make) in shapes {
        for repeated in [false, true] {
            let (small, large) = (make(SMALL, repeated), make(LARGE, repeated));
            for (step, work) in &steps {
                let (few, many) = (cost(&small, 5, work), cost(&large, 5, work));
                let (tolerance, what) = (u128::from(TOLERANCE), format!("{step}, {kind}, repeated: {repeated}"));
                assert!(many <= few * tolerance, "{what}: {many} ps per byte, with few members {few}");
            }
        }
    }
}

/// Scenario: snippets that make the host work: sorts with functions of libraries as comparators, long strings compared,
/// encoded, hashed and escaped many times; the log object read and edited with many members.
/// Guarantees: each is stopped soon after its time, also if it returns a value by itself.
#[test]
fn host_work_asks_the_deadline() {
    const PREFIX: &str = "local s = ('x'):rep(2 ^ 20 - 1) local a, b = s .. 'a', s .. 'b' local t = {} \
        for i = 1, 9999 do t[i] = i % 2 == 0 and a or b end ";
    let attacks = [
        "table.sort(t, ngx.decode_base64) return 1",
        "table.sort(t, ngx.encode_base64) return 1",
        "table.sort(t, string.upper) return 1",
        "table.sort(t, ngx.md5) return 1",
        "table.sort(t, kong.request.get_header) return 1",
        "table.sort(t) return 1",
        "table.sort(t, function(x, y) return x < y end) return 1",
        "for _, x in ipairs(t) do ngx.escape_uri(x) end return 1",
        "for _, x in ipairs(t) do ngx.sha1_bin(x) end return 1",
        "for _, x in ipairs(t) do ngx.crc32_long(x) end return 1",
        "for _, x in ipairs(t) do kong.log.set_serialize_value('v', x) end return 1",
        "for _, x in ipairs(t) do x:find('ab', 1, true) end return 1",
        "for _, x in ipairs(t) do x:upper() end return 1",
        "return table.concat(t)",
        "return ngx.encode_args({a = t})",
        "local m = {} for i = 1, 40000 do m['k' .. i] = 1 end kong.log.set_serialize_value('m', m) \
            for i = 1, 1e6 do kong.log.set_serialize_value('m.k' .. i, 2) end return 1",
        "for i = 1, 1e6 do kong.log.serialize() end return 1",
    ];
    for attack in attacks {
        in_time(move || {
            let long = Duration::from_millis(20);
            let limits = Limits { deadline: long, plugin_deadline: 2 * long, memory: 256 << 20, ..Limits::default() };
            let options = Options { limits, dialect: strict(), ..Options::default() };
            let mut bench = Bench::with(&sample(), options);
            let snippet = bench.load(&format!("{PREFIX}{attack}"));
            let mut kept = false;
            let took = least_cpu_time(2 * long, || {
                bench.begin();
                kept = bench.vm.run_field(snippet, &KeyPath::parse("v", false)).is_ok();
            });
            assert!(!kept || took < 2 * long, "{attack}: kept a value after {took:?}");
            // The development build is several times slower than the program between two looks at the clock.
            assert!(took < Duration::from_millis(250), "{attack}: stopped after {took:?}");
            assert_eq!(bench.shown("return 1 + 1"), "2", "{attack}");
        });
    }
}

fn strict() -> Dialect {
    Dialect { profile: Profile::Strict, ..Dialect::default() }
}
