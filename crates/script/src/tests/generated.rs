//! Generated cases: honest snippets over every function that snippets are offered, whose answers have properties that the
//! documentation of Lua, OpenResty and Kong states: round trips, inverses, identities, agreement with the transaction.
//!
//! Each case follows from its number alone. `GENERATED_CASE=123` runs one case and prints it; `GENERATED_CASES=20000` runs so
//! many; `GENERATED_FILE=cases.jsonl` also writes them with our answers, for a comparison with Kong's own code.

mod grammar;
mod random;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use self::grammar::{Claim, Rule, rules};
use self::random::Random;
use self::transaction::make;
use super::*;
use crate::needs::Names;

/// The cases that every run of the tests has.
const CASES: usize = 10_000;
/// Cases that run in one go, in the time that `in_time` gives.
const PART: usize = 2000;
/// A VM keeps every snippet that it has loaded.
const SNIPPETS_PER_VM: usize = PART / 2;

/// A snippet with its transaction and what its answer has to be.
struct Case {
    number: usize,
    quirks: bool,
    place: String,
    transaction: Value,
    facts: Value,
    code: String,
    claims: Vec<Claim>,
}

impl Case {
    /// The case `number`. The first cases have each rule once.
    fn of(number: usize, rules: &[Vec<Rule>]) -> Self {
        let mut random = Random::new(number as u64);
        let made = make(&mut random);
        let rule = rules.iter().flatten().nth(number).unwrap_or_else(|| {
            let group = &rules[random.below(rules.len())];
            &group[random.below(group.len())]
        });
        let written = rule.write(&mut random, &made.transaction);
        let mut facts = made.facts;
        facts["picked"] = written.picked;
        Self {
            number,
            quirks: number % 2 == 1,
            place: rule.place.clone(),
            transaction: made.transaction,
            facts,
            code: written.code,
            claims: written.claims,
        }
    }

    /// If the answer, the JSON text of a list, is not what it has to be: the rule, and how to see it again.
    fn fault(&self, answer: &str) -> Option<(String, String)> {
        let fault = self.difference(answer)?;
        let shown = format!("GENERATED_CASE={}: {fault}\n{}\n  answer {answer}", self.number, self.code);
        Some((self.place.clone(), shown))
    }

    /// What the answer lacks of what it has to be.
    fn difference(&self, answer: &str) -> Option<String> {
        let Ok(answer) = serde_json::from_str::<Value>(answer) else {
            return Some("the answer is no value".to_owned());
        };
        let mut values = answer.as_array().cloned().unwrap_or_default().into_iter();
        // nil at the end of a list leaves no trace.
        let mut next = || values.next().unwrap_or(Value::Null);
        for claim in &self.claims {
            match claim {
                Claim::Same => {
                    let (left, right) = (next(), next());
                    if !same(&left, &right) {
                        return Some(format!("{left} is not {right}"));
                    }
                }
                Claim::Is(path) => {
                    let (value, expected) = (next(), self.member(path));
                    if !same(&value, &expected) {
                        return Some(format!("{value} is not {path}, which is {expected}"));
                    }
                }
                Claim::Fails(text) => {
                    let value = next();
                    if !value.as_str().is_some_and(|value| value.contains(text.as_str())) {
                        return Some(format!("{value} is no error with {text:?}"));
                    }
                }
            }
        }
        None
    }

    /// A member of the facts or of the transaction.
    fn member(&self, path: &str) -> Value {
        let (root, path) = path.strip_prefix("facts.").map_or((&self.transaction, path), |path| (&self.facts, path));
        path.split('.').try_fold(root, |value, name| value.get(name)).cloned().unwrap_or(Value::Null)
    }

    /// As a line of a file.
    fn line(&self, answer: &str) -> Value {
        json!({
            "id": self.number, "rule": self.place, "kong_quirks": self.quirks, "transaction": self.transaction,
            "snippet": self.code, "answer": answer,
        })
    }
}

/// Whether two values are equal. An empty table is a list and an object.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, value)| right.get(name).is_some_and(|other| same(value, other)))
        }
        (Value::Array(list), Value::Object(object)) | (Value::Object(object), Value::Array(list)) => {
            list.is_empty() && object.is_empty()
        }
        _ => left == right,
    }
}

fn options(quirks: bool) -> Options {
    let long = Duration::from_secs(60);
    let limits = Limits { deadline: long, plugin_deadline: long, ..Limits::default() };
    let dialect = Dialect { profile: Profile::Strict, ..Dialect::default() };
    Options { limits, dialect, kong_quirks: quirks, style: Style::of(quirks), ..Options::default() }
}

/// Runs the cases of these numbers, and hands each with its answer to `each`.
fn run(numbers: impl Iterator<Item = usize>, mut each: impl FnMut(&Case, &str)) {
    let rules = rules();
    let mut benches: [Option<(Bench, usize)>; 2] = [None, None];
    for number in numbers {
        let case = Case::of(number, &rules);
        let slot = &mut benches[usize::from(case.quirks)];
        if slot.as_ref().is_none_or(|(_, loaded)| *loaded == SNIPPETS_PER_VM) {
            *slot = Some((Bench::with(&json!({}), options(case.quirks)), 0));
        }
        let (bench, loaded) = slot.as_mut().expect("a VM is there");
        *loaded += 1;
        bench.transaction = parse(&case.transaction);
        bench.vm.set_plugin_id(&"b0b3a6b4-9d5c-4a0d-8f0e-3f4c7c1f5f0a".into());
        let answer = bench.shown(&case.code);
        each(&case, &answer);
    }
}

fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Scenario: 10,000 snippets from the rules in `generated/rules`, each on a transaction of its own, with and without
/// `kong_quirks`.
/// Guarantees: each answer has the properties that its rule states.
#[test]
fn answers_have_the_properties_that_documentation_states() {
    let single = setting("GENERATED_CASE");
    let numbers = single.map_or(0..setting("GENERATED_CASES").unwrap_or(CASES), |number| number..number + 1);
    let mut file = std::env::var_os("GENERATED_FILE")
        .map(|path| std::io::BufWriter::new(std::fs::File::create(path).expect("a file that can be written")));
    let mut faults: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for start in numbers.clone().step_by(PART) {
        let part = start..numbers.end.min(start + PART);
        let answers = in_time(move || {
            let mut answers = Vec::new();
            run(part, |case, answer| answers.push((case.line(answer).to_string(), case.fault(answer))));
            answers
        });
        for (line, fault) in answers {
            if let Some(file) = &mut file {
                writeln!(file, "{line}").expect("room for the cases");
            }
            if single.is_some() {
                writeln!(std::io::stdout(), "{line}").expect("an open output");
            }
            if let Some((place, shown)) = fault {
                faults.entry(place).or_insert((0, shown)).0 += 1;
            }
        }
    }
    file.map_or(Ok(()), |mut file| file.flush()).expect("room for the cases");
    let shown: Vec<String> =
        faults.iter().take(40).map(|(place, (cases, first))| format!("{place}: {cases} cases fail: {first}")).collect();
    assert!(faults.is_empty(), "{} rules do not hold:\n{}", faults.len(), shown.join("\n\n"));
}

/// The functions and values that snippets find, in the tables of `names` and in modules.
fn offered(names: &Names) -> BTreeSet<String> {
    let mut offered = BTreeSet::new();
    let mut tables = vec![String::new()];
    while let Some(prefix) = tables.pop() {
        for name in names.beside(&format!("{prefix}x")) {
            let inner = format!("{name}.");
            if name != "_G" && names.beside(&format!("{inner}x")).next().is_some() {
                tables.push(inner);
            } else {
                offered.insert(name.to_owned());
            }
        }
    }
    offered
}

/// Members of modules that `require` gives, as `MODULE:NAME`.
fn offered_by_modules() -> BTreeSet<String> {
    let mut bench = Bench::with(&json!({}), options(false));
    let mut offered = BTreeSet::new();
    for module in modules() {
        let code = format!(
            "local m, t = require('{module}'), {{}} if type(m) == 'table' then \
             for name, v in pairs(m) do if type(v) == 'function' then t[#t + 1] = name end end end return t"
        );
        let members: Value = serde_json::from_str(&bench.shown(&code)).expect("names");
        let members = members.as_array().cloned().unwrap_or_default();
        offered.extend(members.iter().filter_map(Value::as_str).map(|name| format!("{module}:{name}")));
    }
    offered
}

/// Whether `text` has `name` as a whole name.
fn has_name(text: &str, name: &str) -> bool {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (text.as_bytes()[..at].last(), text.as_bytes().get(at + name.len()));
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// Scenario: the names that a VM offers and those of every module, beside the snippets of the rules.
/// Guarantees: a rule reaches each of them.
#[test]
fn rules_reach_every_function() {
    let rules = rules();
    let snippets: Vec<String> =
        (0..rules.iter().flatten().count()).map(|number| Case::of(number, &rules).code.replace(':', ".")).collect();
    let names = Vm::new(&options(false)).and_then(|vm| vm.names()).expect("a VM");
    let is_reached = |member: &String| match member.split_once(':') {
        None => snippets.iter().any(|code| has_name(code, member)),
        Some((module, name)) => {
            let loaded = format!("require('{module}')");
            snippets.iter().any(|code| code.contains(&loaded) && has_name(code, name))
        }
    };
    let all = offered(&names).into_iter().chain(offered_by_modules());
    let unreached: Vec<String> = all.filter(|member| !is_reached(member)).collect();
    assert!(unreached.is_empty(), "no rule has {unreached:?}");
}

/// Scenario: a case with one claim of each kind, and answers that hold and that do not.
/// Guarantees: each wrong value is found, and the same number makes the same case again.
#[test]
fn wrong_answers_are_found() {
    let claims = vec![Claim::Same, Claim::Is("request.method".to_owned()), Claim::Fails("no good".to_owned())];
    let case = Case {
        number: 7,
        quirks: false,
        place: "rule".to_owned(),
        transaction: json!({"request": {"method": "GET"}}),
        facts: json!({}),
        code: "return {}".to_owned(),
        claims,
    };
    assert_eq!(case.fault(r#"[{"a":[]},{"a":{}},"GET",":1: no good"]"#), None);
    for wrong in [
        r#"[1,2,"GET","no good"]"#,
        r#"["1",1,"GET","no good"]"#,
        r#"[1,1,"PUT","no good"]"#,
        r#"[1,1,"GET","good"]"#,
        r#"[1,1,"GET"]"#,
        "{}",
        "error: text",
        "nothing",
    ] {
        assert!(case.fault(wrong).is_some_and(|(_, shown)| shown.starts_with("GENERATED_CASE=7: ")), "{wrong}");
    }
    let rules = rules();
    for number in [0, 400, 9999] {
        let (one, two) = (Case::of(number, &rules), Case::of(number, &rules));
        assert_eq!(one.line(""), two.line(""));
        assert_ne!(one.code, Case::of(number + 1, &rules).code);
    }
}
