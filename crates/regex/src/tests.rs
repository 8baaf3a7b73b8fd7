mod cases;

use std::cell::Cell;

use proptest::prelude::*;

use super::backtrack::{Scratch, SearchError, UNSET};
use super::pattern::{Pattern, Patterns};

fn spans(slots: &[usize], groups: usize) -> String {
    let span = |pair: &[usize]| match pair {
        [from, to] if *from != UNSET && *to != UNSET => format!("{from}-{to}"),
        _ => "x".to_owned(),
    };
    let mut all: Vec<_> = slots.chunks_exact(2).take(groups + 1).map(span).collect();
    // Unset groups after the last set one are omitted, as in Perl.
    while all.len() > 1 && all.last().is_some_and(|last| last == "x") {
        all.pop();
    }
    all.join(",")
}

/// The results of the backtracking matcher and of the chosen engine.
fn both(pattern: &Pattern, text: &[u8], from: usize) -> [String; 2] {
    let mut scratch = Scratch::default();
    let never = || false;
    let shown = |found: Result<bool, SearchError>, scratch: &Scratch| match found {
        Ok(true) => spans(&scratch.slots, pattern.groups),
        Ok(false) => "none".to_owned(),
        Err(cut) => format!("{cut:?}"),
    };
    let bounded = pattern.search_bounded(text, from, &mut scratch, &never);
    let bounded = shown(bounded, &scratch);
    let chosen = pattern.search(text, from, &mut scratch, &never);
    [bounded, shown(chosen, &scratch)]
}

/// Scenario: about 170 patterns with every construct, on matching and other texts.
/// Guarantees: both engines find the same spans and groups as PCRE; the linear engine supports most patterns without
/// look-around and references.
#[test]
fn finds_what_pcre_finds() {
    let (mut linear, mut wrong) = (0, Vec::new());
    for (pattern, letters, text, expected) in cases::CASES {
        let shown = format!("/{}/{letters} on {:?}", String::from_utf8_lossy(pattern), String::from_utf8_lossy(text));
        match Pattern::new(pattern, letters.as_bytes()) {
            Err(why) => wrong.push(format!("{shown}: {why}")),
            Ok(compiled) => {
                linear += usize::from(compiled.is_linear());
                let found = both(&compiled, text, 0);
                if found != [*expected; 2] {
                    wrong.push(format!("{shown}: {found:?}, and {expected} in PCRE"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(linear > cases::CASES.len() / 2, "{linear}");
}

/// Scenario: patterns that match the empty string, from every offset of texts beyond ASCII. Guarantees: both engines find
/// the same; without `u` any offset between two bytes is a position.
#[test]
fn empty_matches_within_characters() {
    for letters in ["", "a", "U"] {
        for pattern in ["", "a*", "(b)?", r"\B"] {
            let compiled = Pattern::new(pattern.as_bytes(), letters.as_bytes()).expect(pattern);
            for text in ["\u{e9}\u{20ac}".as_bytes(), b"\x96\xc3\xa9\xe2\x82"] {
                for from in 0..=text.len() {
                    let [bounded, chosen] = both(&compiled, text, from);
                    assert_eq!(bounded, chosen, "/{pattern}/{letters} on {text:?} from {from}");
                    let everywhere = pattern != r"\B" && letters != "U";
                    assert!(!everywhere || bounded == format!("{from}-{from}"), "/{pattern}/ from {from}: {bounded}");
                }
            }
        }
    }
}

/// Scenario: malformed patterns and options.
/// Guarantees: the error has PCRE's message and position.
#[test]
fn errors_equal_pcres() {
    for (pattern, letters, said) in [
        ("a(b", "", r#"pcre_compile() failed: missing ) in "a(b""#),
        ("a)b", "", r#"pcre_compile() failed: unmatched parentheses in "a)b" at ")b""#),
        ("*a", "", r#"pcre_compile() failed: nothing to repeat in "*a" at"#),
        ("[a", "", r#"pcre_compile() failed: missing terminating ] for character class in "[a""#),
        ("a{2,1}", "", "numbers out of order in {} quantifier"),
        ("(?<n>a)(?<n>b)", "", "two named subpatterns have the same name"),
        (r"\2(a)", "", "reference to non-existent subpattern"),
        ("(?<=a*)b", "", "lookbehind assertion is not fixed length"),
        ("(?R)", "", "pcre_compile() failed: "),
        ("a", "q", r#"unknown flag "q" (flags "q")"#),
    ] {
        let why = Pattern::new(pattern.as_bytes(), letters.as_bytes()).expect_err(pattern);
        assert!(why.contains(said), "{pattern}: {why}");
    }
}

/// Scenario: patterns with exponential search time, and large texts.
/// Guarantees: the check is called regularly and obeyed, and a search that exceeds the memory limit fails with its own
/// error.
#[test]
fn endless_searches_can_be_stopped() {
    let text = vec![b'a'; 1 << 20];
    for pattern in [
        "(a*)*b",
        "(a|a)*b",
        "(a|aa)+$b",
        "(?=(a*)*b)",
        "(a+)+b",
        "(?:a?){60}a{60}b",
        r"(a)\1*b(?<!x)",
        "(?>a*)*?b|.*b.*b",
        "((((a*)*)*)*)*b",
        ".*.*.*.*b",
        "(?:(?=.*b)a)*c",
        "(a{0,50}){0,50}b",
    ] {
        let compiled = Pattern::new(pattern.as_bytes(), b"").expect(pattern);
        let asked = Cell::new(0_u32);
        let check = || {
            asked.set(asked.get() + 1);
            asked.get() > 200
        };
        let found = compiled.search(&text, 0, &mut Scratch::default(), &check);
        assert!(matches!(found, Err(_) | Ok(false)), "{pattern}: {found:?}");
        assert!(asked.get() <= 201, "{pattern} went on for {}", asked.get());
        assert!(
            found.is_err() || asked.get() > 10 || pattern.contains("b|"),
            "{pattern}: {found:?} after {}",
            asked.get()
        );
    }
}

/// Scenario: patterns that would compile to huge programs.
/// Guarantees: each is rejected or small, within a short time.
#[test]
fn compiling_is_bounded() {
    let deep = "(".repeat(5000) + &")".repeat(5000);
    let long = "a".repeat(100_000);
    for pattern in ["((a{100}){100}){100}", "(?:x{60000}y{60000}){60000}", &deep, &long] {
        assert!(Pattern::new(pattern.as_bytes(), b"").is_err(), "{pattern:.20}");
    }
    let many: String = (0..400).map(|number| format!("(?<n{number}>a)|")).collect();
    let mut patterns = Patterns::default();
    for number in 0..2000 {
        let _ = patterns.get(format!("{number}{many}").as_bytes(), b"jo");
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(vec![
        "a", "b", "c", ".", "[ab]", "[^a]", r"\w", r"\d", "^", "$", r"\b", r"\B", r"\A", r"\z", "ab", "",
    ]);
    atom.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("{one}{other}")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("(?:{one}|{other})")),
            inner.clone().prop_map(|one| format!("({one})")),
            (inner, prop::sample::select(vec!["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?"]))
                .prop_map(|(one, times)| format!("(?:{one}){times}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// Scenario: random patterns that both engines support, on random texts, from random offsets, with options.
    /// Guarantees: both find the same, including groups.
    #[test]
    fn both_engines_agree(
        pattern in pattern(),
        text in "[abc1_\n ]{0,12}",
        letters in prop::sample::select(vec!["", "i", "m", "s", "a", "u", "ims"]),
        from in 0_usize..4,
    ) {
        if let Ok(compiled) = Pattern::new(pattern.as_bytes(), letters.as_bytes()) {
            let [bounded, chosen] = both(&compiled, text.as_bytes(), from.min(text.len()));
            prop_assert_eq!(bounded, chosen, "/{}/{} on {:?}", pattern, letters, text);
        }
    }

    /// Scenario: any bytes as pattern, options and text.
    /// Guarantees: no panic; spans lie within the text.
    #[test]
    fn any_bytes_are_sound(
        pattern in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(br"()[]{}*+?|^$\\.<=!:-,abwdPQE0123u".to_vec())], 0..24),
        letters in prop::sample::select(vec!["", "u", "U", "ix", "mJ", "aD"]),
        text in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'a'), Just(b'b')], 0..24),
    ) {
        if let Ok(compiled) = Pattern::new(&pattern, letters.as_bytes()) {
            let (mut scratch, asked) = (Scratch::default(), Cell::new(0));
            let check = || { asked.set(asked.get() + 1); asked.get() > 500 };
            if compiled.search(&text, 0, &mut scratch, &check) == Ok(true) {
                for slot in scratch.slots.iter().take(2 * compiled.groups + 2) {
                    prop_assert!(*slot == UNSET || *slot <= text.len());
                }
            }
        }
    }
}
