//! The cost of random transactions, chosen to be bad, with random edits and redactions.

use proptest::prelude::*;

use super::cost::cost;
use super::*;
use crate::message::{BodyOptions, Include, Mode, Shape, ShapeOptions};

/// A large transaction has so many times the members and bytes of a small one with the same content.
const GROWTH: usize = 16;
/// How much more a byte of it may cost. A quadratic step would make it 16.
const TOLERANCE: u128 = 7;
/// The members of a small transaction.
const MEMBERS: usize = 500;

/// What a transaction is made of. All of it grows with the transaction.
#[derive(Debug, Clone)]
struct Content {
    /// The names of members: each is written in so many places.
    repeated: usize,
    /// Bytes of a name, from a common beginning.
    name: usize,
    /// Every name has an escape.
    escaped: bool,
    value: Filling,
    /// Where the members are.
    place: &'static str,
}

/// The values.
#[derive(Debug, Clone)]
enum Filling {
    Text(&'static str, usize),
    Number,
    Object,
    Array,
    Deep(usize),
}

impl Content {
    fn write(&self, members: usize) -> String {
        let prefix = "n".repeat(self.name);
        let name = |at: usize| {
            let number = at / self.repeated;
            if self.escaped { format!("{prefix}\\u0041{number}") } else { format!("{prefix}{number}") }
        };
        let members: Vec<String> =
            (0..members / self.value.members()).map(|at| format!("\"{}\":{}", name(at), self.value.write())).collect();
        let members = members.join(",");
        match self.place {
            "" => format!("{{{members}}}"),
            place => {
                let (opening, closing): (String, String) =
                    place.split('.').map(|part| (format!("{{\"{part}\":"), "}")).unzip();
                format!("{opening}{{{members}}}{closing}")
            }
        }
    }
}

impl Filling {
    /// The members and elements of one member.
    fn members(&self) -> usize {
        match self {
            Self::Text(..) | Self::Number => 1,
            Self::Object | Self::Array => 5,
            Self::Deep(levels) => 1 + levels,
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Text(part, times) => format!("\"{}\"", part.repeat(*times)),
            Self::Number => "-12.50e3".to_owned(),
            Self::Object => "{\"a\":1,\"a\":\"\\n\",\"b\":{},\"A\":null}".to_owned(),
            Self::Array => "[1,\"x\",[],{}]".to_owned(),
            Self::Deep(levels) => format!("{}1{}", "[".repeat(*levels), "]".repeat(*levels)),
        }
    }
}

fn contents() -> impl Strategy<Value = Content> {
    let fillings = prop_oneof![
        (prop::sample::select(vec!["x", "\\u00e9", "\\\"", "é", "\\n", "a=b&", "%41"]), 0..12_usize)
            .prop_map(|(part, times)| Filling::Text(part, times)),
        Just(Filling::Number),
        Just(Filling::Object),
        Just(Filling::Array),
        (1..30_usize).prop_map(Filling::Deep),
    ];
    let places =
        vec!["", "request", "request.querystring", "request.headers", "response.headers", "_context.shared", "x.y.z"];
    (
        prop::sample::select(vec![1, 2, 50, 1_000_000]),
        0..40_usize,
        any::<bool>(),
        fillings,
        prop::sample::select(places),
    )
        .prop_map(|(repeated, name, escaped, value, place)| Content { repeated, name, escaped, value, place })
}

/// Edits by key, value and mode, and redaction rules.
#[derive(Debug, Clone)]
struct Work {
    edits: Vec<(String, bool, u8)>,
    rules: Vec<serde_json::Value>,
    kong: bool,
}

fn works() -> impl Strategy<Value = Work> {
    let keys = vec![
        "n1",
        "A7",
        "new",
        "request",
        "request.headers.nA3",
        "request.querystring.n",
        "response.headers.nnn2",
        "request.x\\.y",
        "x.y.z.nA1",
        "n1.a",
        "n2.b.c",
    ];
    let key = prop::sample::select(keys).prop_map(str::to_owned);
    let rules = prop::sample::select(vec![
        json!({"key": "request.querystring.n7"}),
        json!({"key": "x.y"}),
        json!({"header": "nA9"}),
        json!({"query": "n8"}),
        json!({"header": "cookie"}),
    ]);
    (prop::collection::vec((key, any::<bool>(), 0..3_u8), 0..8), prop::collection::vec(rules, 0..3), any::<bool>())
        .prop_map(|(edits, rules, kong)| Work { edits, rules, kong })
}

impl Work {
    /// Reads, edits, redacts and writes. An edit may fail, which is part of the work.
    fn run(&self, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let transaction = Transaction::parse(bytes, &transaction::Limits::default()).expect("within the limits");
        let mut message = Message::new(transaction, if self.kong { Style::KONG } else { Style::default() });
        for (key, removes, mode) in &self.edits {
            let mode = [Mode::Set, Mode::Add, Mode::Replace][usize::from(*mode)];
            let value = (!removes).then(|| b"{\"a\":1}".to_vec());
            let _ = message.edit(&KeyPath::parse(key, self.kong), value, mode);
        }
        let body = BodyOptions::new(Include::OFF, 100);
        let options = ShapeOptions { body: &body, redact: &[], hash_key: None, kong_quirks: self.kong };
        let shape = Shape::of(&json!({"redact": self.rules}), options).expect("sound rules");
        drop(message.to_vec());
        drop(message.shaped(&shape));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, max_shrink_iters: 40, ..ProptestConfig::default() })]

    /// Scenario: random log objects of about 500 and 8,000 members: names that are unique, repeated, long or escaped; texts
    /// with escapes, numbers, objects, arrays and deep nesting; at the outermost level, among the headers or arguments, or
    /// elsewhere. Each is read, edited at random keys, redacted by random rules and written.
    /// Guarantees: a byte of the large one costs about as much CPU time as one of the small one.
    #[test]
    fn random_work_is_linear_in_the_bytes(content in contents(), work in works()) {
        let (small, large) = (content.write(MEMBERS), content.write(MEMBERS * GROWTH));
        if large.len() > transaction::Limits::default().max_bytes {
            return Ok(());
        }
        let run = |text: &str| work.run(text);
        let measure = || (cost(&small, 3, &run), cost(&large, 3, &run));
        let (mut few, mut many) = measure();
        for _ in 0..3 {
            if many > few * TOLERANCE {
                // A hypervisor's share counts as CPU time of a thread.
                let again = measure();
                (few, many) = (few.max(again.0), many.min(again.1));
            }
        }
        prop_assert!(many <= few * TOLERANCE, "{} ps per byte, with few members {}", many, few);
    }
}
