use mlua::Lua;
use proptest::prelude::*;

use super::functions;
use super::parse::{Item, Pattern};
use super::search::Search;

/// Compares the host's results with Luau's for one text and pattern: `find` from each of some places, all matches, and a
/// replacement. Returns a description of the first difference.
const COMPARE: &str = r"
local search, scan, replace, text, pattern, replacement = ...
local function show(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = type(parts[i]) .. ':' .. tostring(parts[i]) end
  return table.concat(parts, ' ')
end
local function found(from, to, count, ...)
  if from == nil then return nil end
  if count == 0 then return from, to end
  return from, to, ...
end
for _, init in {1, 2, 5, -3, 0, -100, #text, #text + 1, #text + 2} do
  local results = table.pack(search(text, pattern, init))
  if results[1] == false then return 'left' end
  local host, native = show(found(unpack(results, 1, results.n))), show(string.find(text, pattern, init))
  if host ~= native then return `find from {init}: {host}, not {native}` end
end
if string.sub(pattern, 1, 1) ~= '^' then
  local next_match, native = scan(text, pattern, false), string.gmatch(text, pattern)
  for number = 1, #text + 2 do
    local results = table.pack(next_match())
    local host = if results[1] == nil then show(nil) else show(unpack(results, 3, results.n))
    local expected = table.pack(native())
    local text = if expected[1] == nil then show(nil) else show(unpack(expected, 1, expected.n))
    if host ~= text then return `match {number}: {host}, not {text}` end
    if expected[1] == nil then break end
  end
end
for _, most in {1e9, 2, 0} do
  local host, native = show(replace(text, pattern, replacement, most)), show(string.gsub(text, pattern, replacement, most))
  if host ~= native then return `gsub: {host}, not {native}` end
end
return ''";

/// Luau's `unpack` on a VM without a prelude.
fn compare(lua: &Lua, text: &[u8], pattern: &[u8], replacement: &str) -> String {
    let host = functions(lua).unwrap();
    let chunk = format!("local unpack = table.unpack {COMPARE}");
    let get = |name: &str| host.raw_get::<mlua::Function>(name).unwrap();
    let arguments = (
        get("search"),
        get("scan"),
        get("replace"),
        lua.create_string(text).unwrap(),
        lua.create_string(pattern).unwrap(),
        replacement,
    );
    lua.load(chunk).call(arguments).unwrap()
}

/// Scenario: patterns of every kind of item on short texts, among them empty matches, nested and position captures,
/// frontiers, anchors and sets with odd members.
/// Guarantees: positions, captures, all matches and replacements are Luau's.
#[test]
fn results_are_luaus() {
    let lua = Lua::new();
    let patterns = [
        "%s+$",
        "%s*$",
        "^%s*(.-)%s*$",
        "^(.-)%s*$",
        "%s*,%s*",
        "a-b",
        "(a*)(b*)c",
        "()a+()b",
        "((a+)b)+",
        "[^a]*b",
        "[]a]+b",
        "[^]a]+b",
        "[a-]+c",
        "[%a-c]+,",
        "[%]]*a",
        "%f[%w]%w+%f[%W]",
        "a?b*c",
        "%S+%s",
        ".-$",
        "a*$",
        "()",
        "^a*b",
        "[a-c%s]*,",
        "%w*%s*%w*,",
        "(a+)-(b*)c",
        "a+$b",
        "%$*a",
        "[%z\\0]*a",
    ];
    let texts = [
        "",
        " ",
        "a b ",
        "  aab ",
        "aaab",
        "abcabc",
        "a,b , c",
        "xaaay",
        "\0a\0",
        "]]a]",
        "--c",
        "a$b",
        "hello world  ",
    ];
    for pattern in patterns {
        for text in texts {
            let difference = compare(&lua, text.as_bytes(), pattern.as_bytes(), "<%0|%1>");
            assert!(difference.is_empty() || difference == "left", "{pattern:?} on {text:?}: {difference}");
        }
    }
}

/// Scenario: each class in every byte's case.
/// Guarantees: it has the members of Luau's.
#[test]
fn classes_are_luaus() {
    let lua = Lua::new();
    let native: mlua::Function =
        lua.load("local byte, class = ... return string.find(byte, class) ~= nil").into_function().unwrap();
    for letter in (0x21..0x7f_u8).filter(|letter| !letter.is_ascii_digit() && !b"bf".contains(letter)) {
        let class = [b'%', letter];
        let items = Pattern::parse(&class).expect("a class").items;
        let [Item::One(set)] = items[..] else { panic!("{items:?}") };
        for byte in 0..=u8::MAX {
            let text = lua.create_string([byte]).unwrap();
            let expected: bool = native.call((text, lua.create_string(class).unwrap())).unwrap();
            assert_eq!(set.has(byte), expected, "%{} and {byte}", char::from(letter));
        }
    }
}

/// Scenario: patterns with an error, references to captures and `%b`.
/// Guarantees: they are left to Luau.
#[test]
fn what_is_not_supported_is_left() {
    for pattern in ["%", "[a", "[", "[^", "(a", "a)", "(a*)%1", "%b()", "%f", "%fa", "[%", "a*[]"] {
        assert_eq!(Pattern::parse(pattern.as_bytes()), None, "{pattern}");
    }
    for (pattern, slow) in
        [("%s+", false), ("(a+)()", false), ("a?b", false), ("a+b", true), ("(a-)b", true), ("a*$", true)]
    {
        assert_eq!(Pattern::parse(pattern.as_bytes()).expect("a pattern").can_be_slow(), slow, "{pattern}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Scenario: random patterns on random texts of few letters, short ones and ones for which backtracking takes too many
    /// steps.
    /// Guarantees: positions, captures, all matches and replacements are Luau's.
    #[test]
    fn random_patterns_agree(
        items in prop::collection::vec(
            prop::sample::select(vec![
                "a", "b", " ", ".", "%s", "%a", "[ab]", "[^a]", "%f[a]", "(", ")", "()", "$", "*", "+", "-", "?", "%S",
            ]),
            1..9,
        ),
        anchor in any::<bool>(),
        text in "[ab ]{0,40}",
        repeated in prop::sample::select(vec![1, 1, 1, 30]),
    ) {
        let pattern = format!("{}{}", if anchor { "^" } else { "" }, items.concat());
        let text = text.repeat(repeated);
        let difference = compare(&Lua::new(), text.as_bytes(), pattern.as_bytes(), "[%0]");
        prop_assert!(difference.is_empty() || difference == "left", "{:?} on {:?}: {}", pattern, text, difference);
        let Some(pattern) = Pattern::parse(pattern.as_bytes()) else { return Ok(()) };
        let (mut fast, mut slow) = (Search::new(&pattern), Search::without_backtracking(&pattern));
        for from in 0..=text.len().min(60) {
            let found = fast.find(&pattern, text.as_bytes(), from).unwrap();
            prop_assert_eq!(slow.find(&pattern, text.as_bytes(), from).unwrap(), found);
            if found.is_some() {
                prop_assert_eq!(&slow.captures, &fast.captures);
            }
        }
    }
}
