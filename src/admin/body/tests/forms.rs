//! Forms against what Kong's own decoder answered for the same ones.

use std::cell::RefCell;

use logphase_config::schema::{Field, Record};
use serde_json::{Value, json};

use super::super::{BodyError, MAX_LEVELS, MAX_PAIRS, decode_form, urlencoded};
use super::{ENTITY, TEXT, decoded, pairs};

fn check(cases: &[(&str, Value)]) {
    for (form, expected) in cases {
        assert_eq!(&Value::Object(decoded(form)), expected, "{form}");
    }
}

/// Scenario: names with dots, brackets, both, escaped brackets, and what looks like them. Guarantees: the nesting of Kong.
#[test]
fn names_nest() {
    check(&[
        ("config.q.size=5", json!({"config": {"q": {"size": 5}}})),
        ("m[k]=x", json!({"m": {"k": "x"}})),
        ("m%5Bk%5D=x", json!({"m": {"k": "x"}})),
        ("m%255Bk.l%255d=x", json!({"m": {"k.l": "x"}})),
        ("m%255Bk%255B_l%255D=x", json!({"m": {"k%5B_l": "x"}})),
        ("m%255Bk=x", json!({"m%5Bk": "x"})),
        ("m[k.l]=x&m[n]=y", json!({"m": {"k.l": "x", "n": "y"}})),
        (r"m[x\.y]=x", json!({"m": {r"x\.y": "x"}})),
        (r"m.x\.y=x", json!({"m": {r"x\": {"y": "x"}}})),
        ("config.m[my_file.log]=return+nil", json!({"config": {"m": {"my_file.log": "return nil"}}})),
        ("config.m.a.b=x", json!({"config": {"m": {"a": {"b": "x"}}}})),
        ("m[k][l]=x", json!({"m": {"k": {"l": "x"}}})),
        ("m[a][b].c[d]=5", json!({"m": {"a": {"b": {"c": {"d": "5"}}}}})),
        ("m[k].b=1", json!({"m": {"k": {"b": "1"}}})),
        ("m[k]x=1", json!({"m": {"k": "1"}})),
        ("m[k]b.c=2", json!({"m": {"k": {"c": "2"}}})),
        ("m[[k]]=1", json!({"m": {"[k": "1"}})),
        ("m[.]=1&m[.k]=2&m[k.]=3", json!({"m": {".": "1", ".k": "2", "k.": "3"}})),
        ("m[a][=1", json!({"m": {"a": "1"}})),
        ("m..b=1", json!({"m": {"b": "1"}})),
        ("m[1.5]=x&m[nan]=y&m[ ]=z", json!({"m": {"1.5": "x", "nan": "y", " ": "z"}})),
        ("m[k=1", json!({"m[k": "1"})),
        ("m]k=1", json!({"m]k": "1"})),
        ("[5]=1&[]=2&[=3&]=4", json!({"[5]": "1", "[]": "2", "[": "3", "]": "4"})),
        ("[k][l]=x&[5][1]=y", json!({"[k]": {"l": "x"}, "[5]": ["y"]})),
        ("[a.b]=1", json!({"[a": {"b]": "1"}})),
        ("[a][b.c]=1", json!({"[a]": {"b.c": "1"}})),
        ("a.=x", json!({"name": "x"})),
        (".a=x", json!({"name": "x"})),
        ("...=x", json!({"name": "x"})),
        ("m[k].=x", json!({"name": "x"})),
        ("=x&&=&a=y", json!({"a": ["y"]})),
        ("a=b=c", json!({"a": ["b=c"]})),
        ("m%5Ba%3Db%5D=c", json!({"m": {"a=b": "c"}})),
        ("n%00=1&name=%zz%4", json!({"n\0": "1", "name": "%zz%4"})),
    ]);
}

/// Scenario: lists in each of Kong's four forms, in any order, of any depth, in maps and of records. Guarantees: lists
/// from 1 on; where Kong has a table that is no list, an object, which validation refuses.
#[test]
fn lists_have_four_forms() {
    check(&[
        ("a[1]=x&a[2]=y", json!({"a": ["x", "y"]})),
        ("a[2]=y&a[1]=x", json!({"a": ["x", "y"]})),
        ("a[0x2]=y&a[ 1 ]=x&a[3e0]=z", json!({"a": ["x", "y", "z"]})),
        ("a[]=x&a[]=y", json!({"a": ["x", "y"]})),
        ("a=x&a=y&s=z&s=z", json!({"a": ["x", "y"], "s": ["z", "z"]})),
        ("a=x", json!({"a": ["x"]})),
        ("a=x,y", json!({"a": ["x,y"]})),
        ("a=1&a[2]=3", json!({"a": ["1", "3"]})),
        ("a=1&a[]=2", json!({"a": [["1", "2"]]})),
        ("a[1]=x&a[1]=y", json!({"a": [["x", "y"]]})),
        ("a[1]=&a[2]=y", json!({"a": [null, "y"]})),
        ("nn[]=1&nn[]=&nn[]=x", json!({"nn": [1, null, "x"]})),
        ("aa[1][1]=x&aa[1][2]=y&aa[2][1]=z", json!({"aa": [["x", "y"], ["z"]]})),
        ("aa[][]=x", json!({"aa": [["x"]]})),
        ("ma[x]=1&ma[y][]=2&ma[z][1]=3&ma[z][2]=4", json!({"ma": {"x": ["1"], "y": ["2"], "z": ["3", "4"]}})),
        ("config.recs[1].k=5&config.recs[1].v=7&config.recs[2].v=", {
            json!({"config": {"recs": [{"k": 5, "v": "7"}, {"v": null}]}})
        }),
        ("config.recs[].k=5&config.recs[].v=7", json!({"config": {"recs": {"k": "5", "v": "7"}}})),
        ("a[3]=x&a[5]=y", json!({"a": {"3": "x", "5": "y"}})),
        ("a[0]=x", json!({"a": {"0": "x"}})),
        ("a[-1]=x", json!({"a": {"-1": "x"}})),
        ("a[999999999]=x", json!({"a": {"999999999": "x"}})),
        ("a[1e300]=x", json!({"a": {"1e300": "x"}})),
        ("a=1&a.b=2", json!({"a": {"1": "1", "b": "2"}})),
        ("a[1][k]=5&a[1][l]=6", json!({"a": [{"k": "5", "l": "6"}]})),
        // Elements of a map: Kong refuses them.
        ("m[1]=x&m[2]=y", json!({"m": ["x", "y"]})),
        ("m[]=x", json!({"m": ["x"]})),
        ("mn=5&mn=x&aa", json!({"mn": [5, "x"], "aa": [[true]]})),
        ("m.1=x&1[k]=y&x.1[k]=z", json!({"m": {"1": "x"}, "1": {"k": "y"}, "x": [{"k": "z"}]})),
        ("m=x&m.k=y", json!({"m": ["x", "y"]})),
        ("m[k]=x&m[k]=y", json!({"m": {"k": ["x", "y"]}})),
    ]);
}

/// Scenario: numbers in each notation of Lua, booleans, empty values, and the same in fields of another type, unknown
/// fields, records and maps. Guarantees: the schema tells the type; what is no value of the type stays text.
#[test]
fn the_schema_tells_the_type() {
    check(&[
        ("n=5&i=5", json!({"n": 5, "i": 5})),
        ("n=5.5&i=5.5", json!({"n": 5.5, "i": 5.5})),
        ("n=1e3&i=0x10", json!({"n": 1000, "i": 16})),
        ("n= 5 &i=%2B5", json!({"n": 5, "i": 5})),
        ("n=-0.5&i=-0", json!({"n": -0.5, "i": 0})),
        ("n=1e400&i=nan", json!({"n": "1e400", "i": "nan"})),
        ("n=12345678901234567890&i=5x", json!({"n": 12345678901234567890.0, "i": "5x"})),
        ("n=5&n=6", json!({"n": ["5", "6"]})),
        ("n[k]=5&on[]=true", json!({"n": {"k": "5"}, "on": ["true"]})),
        ("on=true&bb=false&bb=yes", json!({"on": true, "bb": [false, "yes"]})),
        ("on=1", json!({"on": "1"})),
        ("on=yes", json!({"on": "yes"})),
        ("on=TRUE", json!({"on": "TRUE"})),
        ("on&name&a&n&m[k]", json!({"on": true, "name": true, "a": [true], "n": true, "m": {"k": true}})),
        ("name=5&m[k]=true", json!({"name": "5", "m": {"k": "true"}})),
        ("name=&n=&on=&a=&m=&config=", {
            json!({"name": null, "n": null, "on": null, "a": null, "m": null, "config": null})
        }),
        ("m[k]=&config.host=&config.q.size=&config.tags=", {
            json!({"m": {"k": null}, "config": {"host": null, "q": {"size": null}, "tags": null}})
        }),
        ("x=&y=5&z=true&w&config.x=&config.y=5", {
            json!({"x": "", "y": "5", "z": "true", "w": true, "config": {"x": "", "y": "5"}})
        }),
        ("mn[a]=5&mn.b=x&config.mn[b.c]=6", json!({"mn": {"a": 5, "b": "x"}, "config": {"mn": {"b.c": 6}}})),
        ("config.nums=1&config.nums=x&config.on=false", json!({"config": {"nums": [1, "x"], "on": false}})),
        ("config=x&m=y", json!({"config": "x", "m": "y"})),
        ("name=a%2Bb+c%20d", json!({"name": "a+b c d"})),
    ]);
}

/// Scenario: a field that is the key of another entity, known to the record and unknown. Guarantees: `service.id` and
/// `service.name` nest, and an empty value is null.
#[test]
fn references_nest() {
    check(&[
        ("service.id=5&route[name]=x", json!({"service": {"id": "5"}, "route": {"name": "x"}})),
        ("service=abc", json!({"service": "abc"})),
    ]);
}

/// Scenario: a plugin's form, whose configuration is described by the plugin. Guarantees: the name is handed over, before
/// and after `config`; what is handed back gives the types; without it the entity's own field does.
#[test]
fn config_is_the_plugins_own() {
    static PORT: Record = Record::new(&[Field::integer("port"), Field::map("m", &TEXT, &TEXT)]);
    let asked = RefCell::new(Vec::new());
    let read = |form: &str| {
        let config = |name: Option<&str>| {
            asked.borrow_mut().push(name.map(str::to_owned));
            (name == Some("tcp-log")).then_some(&PORT)
        };
        Value::Object(decode_form(&pairs(form), &ENTITY, &config).expect("not deep"))
    };
    assert_eq!(read("name=tcp-log&config.port=5"), json!({"name": "tcp-log", "config": {"port": 5}}));
    assert_eq!(read("config.port=5&config.m.k=&name=tcp-log")["config"], json!({"port": 5, "m": {"k": null}}));
    assert_eq!(read("config.port=5&config.n=6")["config"], json!({"port": "5", "n": 6}));
    assert_eq!(read("name&config.n=6")["config"], json!({"n": 6}));
    let asked = asked.into_inner();
    assert_eq!(asked, [Some("tcp-log".to_owned()), Some("tcp-log".to_owned()), None, None]);
}

/// Scenario: a name that nests as deep as allowed, one level more, and a name of a megabyte of dots, brackets and letters.
/// Guarantees: the first is taken; the others are refused at once, with an answer that says why.
#[test]
fn depth_is_bounded() {
    let name = |levels: usize| vec!["k"; levels].join(".");
    assert!(decode_form(&[(name(MAX_LEVELS), None)], &ENTITY, &|_| None).is_ok());
    let brackets = format!("k{}", "[k]".repeat(1 << 20));
    for hostile in [name(MAX_LEVELS + 1), name(1 << 20), brackets, "[".repeat(1 << 20) + &".k".repeat(101)] {
        let error = decode_form(&[(hostile, None)], &ENTITY, &|_| None).expect_err("too deep");
        assert!(matches!(error, BodyError::TooDeep(_)), "{error}");
        assert_eq!(error.status(), 400);
        assert!(error.body().len() < 200, "{error}");
    }
    let unclosed = "[".repeat(1 << 20);
    assert_eq!(decode_form(&[(unclosed.clone(), None)], &ENTITY, &|_| None).expect("one level").len(), 1);
    let dots = format!("a{}b", ".".repeat(1 << 20));
    assert_eq!(decode_form(&[(dots, None)], &ENTITY, &|_| None).expect("two levels").len(), 1);
}

/// Scenario: as many pairs as allowed, one more, and more separators than that without pairs. Guarantees: Kong's bound.
#[test]
fn pairs_are_bounded() {
    let form = |count: usize| (0..count).map(|at| format!("a{at}=1")).collect::<Vec<_>>().join("&");
    assert_eq!(urlencoded(form(MAX_PAIRS).as_bytes()).expect("allowed").len(), MAX_PAIRS);
    assert_eq!(urlencoded(form(MAX_PAIRS + 1).as_bytes()), Err(BodyError::TooMany));
    assert_eq!(urlencoded("&".repeat(MAX_PAIRS).as_bytes()), Err(BodyError::TooMany));
    assert_eq!(urlencoded("&".repeat(MAX_PAIRS - 1).as_bytes()), Ok(Vec::new()));
}
