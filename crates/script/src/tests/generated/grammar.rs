//! Rules, and the snippets that they stand for.
//!
//! A rule is a paragraph of `rules/*.txt`: a comment that names the property and who states it, statements, and lines that say
//! what holds: `A === B` (the values are equal), `A =b= B` (the texts have the same bytes), `A === @request.method` (a member
//! of the transaction, or of `facts`), `A !!! TEXT` (an error with this text). A line `each A B C` makes a rule for each of
//! the words, which stand in place of `$each`. `$text`, `$int` and the others stand for random expressions.

use serde_json::Value;

use super::random::Random;

/// The files of rules.
const FILES: [(&str, &str); 4] = [
    ("language", include_str!("rules/language.txt")),
    ("ngx", include_str!("rules/ngx.txt")),
    ("kong", include_str!("rules/kong.txt")),
    ("modules", include_str!("rules/modules.txt")),
];
/// How deep expressions nest.
const DEPTH: usize = 2;

/// What a line of a rule claims.
#[derive(Debug, Clone)]
pub(super) enum Claim {
    /// Two values of the answer are equal.
    Same,
    /// A value of the answer is this member of the transaction or of the facts.
    Is(String),
    /// A value of the answer is an error with this text.
    Fails(String),
}

/// A rule: a text with random parts.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// File and line.
    pub(super) place: String,
    body: Vec<String>,
    claims: Vec<String>,
}

/// A snippet, and what its answer has to be.
pub(super) struct Written {
    pub(super) code: String,
    pub(super) claims: Vec<Claim>,
    /// The member of the transaction that was picked (`$header`, `$argument`): its first value.
    pub(super) picked: Value,
}

/// All rules: those of one paragraph with `each` together.
pub(super) fn rules() -> Vec<Vec<Rule>> {
    let mut groups = Vec::new();
    for (file, text) in FILES {
        let mut line = 1;
        for paragraph in text.trim_end().split("\n\n") {
            let lines: Vec<&str> = paragraph.lines().filter(|line| !line.starts_with("# ")).collect();
            let words = lines.iter().filter_map(|line| line.strip_prefix("each ")).collect::<Vec<_>>().join(" ");
            let words: Vec<&str> = if words.is_empty() { vec![""] } else { words.split_whitespace().collect() };
            let of = |word: &str| {
                let filled =
                    lines.iter().filter(|line| !line.starts_with("each ")).map(|line| line.replace("$each", word));
                let (claims, body) =
                    filled.partition(|line| [" === ", " =b= ", " !!! "].iter().any(|sign| line.contains(sign)));
                Rule { place: format!("{file}.txt:{line} {word}").trim_end().to_owned(), body, claims }
            };
            let rules: Vec<Rule> = words.into_iter().map(of).collect();
            assert!(rules.iter().all(|rule| !rule.claims.is_empty()), "{file}.txt:{line}: the rule claims nothing");
            groups.push(rules);
            line += paragraph.lines().count() + 1;
        }
    }
    groups
}

impl Rule {
    /// A snippet of this rule, for `transaction`.
    pub(super) fn write(&self, random: &mut Random, transaction: &Value) -> Written {
        let mut writer = Writer { random, transaction, picked: Value::Null };
        let mut code: String = self.body.iter().map(|line| writer.fill(line) + "\n").collect();
        let (mut values, mut claims) = (Vec::new(), Vec::new());
        for line in &self.claims {
            let line = writer.fill(line);
            if let Some((call, text)) = line.split_once(" !!! ") {
                values.push(format!("(select(2, pcall(function() return {call} end)))"));
                claims.push(Claim::Fails(text.to_owned()));
            } else if let Some((left, right)) = line.split_once(" =b= ") {
                values.extend([left, right].map(|side| format!("ngx.encode_base64({side})")));
                claims.push(Claim::Same);
            } else if let Some((value, path)) = line.split_once(" === @") {
                values.push(format!("({value})"));
                claims.push(Claim::Is(path.to_owned()));
            } else if let Some((left, right)) = line.split_once(" === ") {
                values.extend([left, right].map(|side| format!("({side})")));
                claims.push(Claim::Same);
            }
        }
        code.push_str(&format!("return {{{}}}", values.join(", ")));
        Written { code, claims, picked: writer.picked }
    }
}

/// Fills the random parts of a rule.
struct Writer<'a> {
    random: &'a mut Random,
    transaction: &'a Value,
    picked: Value,
}

impl Writer<'_> {
    fn fill(&mut self, line: &str) -> String {
        let mut parts = line.split('$');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        let mut literal = false;
        for part in parts {
            let end = part.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            // `$1`, `$0` and `$$` are the templates of ngx.re.
            match if literal { "" } else { name } {
                "" => {
                    filled.push('$');
                    filled.push_str(name);
                }
                name => filled.push_str(&self.expression(name, DEPTH)),
            }
            literal = name.is_empty() && rest.is_empty() && !literal;
            filled.push_str(rest);
        }
        filled
    }

    /// A random expression of the kind `name`.
    fn expression(&mut self, name: &str, depth: usize) -> String {
        match name {
            "text" => self.text(depth),
            "literal" => self.literal(),
            "bytes" => self.bytes(),
            "word" => format!("'{}'", self.random.word()),
            "letter" => format!("'{}'", self.random.pick(&["a", "e", "x", "1", " ", ",", "=", "/"])),
            "int" => self.integer(depth),
            "count" => self.random.below(9).to_string(),
            "position" => (i64::try_from(self.random.below(21)).expect("small") - 10).to_string(),
            "digits" => self.random.below(100_000_000_000_000).to_string(),
            "bits" => {
                let edges = ["0", "1", "-1", "255", "2147483647", "-2147483648", "4294967295", "0x80000000"];
                if self.random.one_in(3) {
                    self.random.pick(&edges).to_owned()
                } else {
                    self.random.below(1 << 32).to_string()
                }
            }
            "number" => self.number(depth),
            "fraction" => format!("{}", self.random.below(1 << 20) as f64 / 1024.0),
            "seconds" => self.random.below(4_000_000_000).to_string(),
            "boolean" => self.random.pick(&["true", "false"]).to_owned(),
            "plain" => self.plain(depth),
            "words" => self.list(|writer| writer.expression("word", 0)),
            "texts" => self.list(|writer| writer.text(1)),
            "integers" => self.list(|writer| writer.integer(0)),
            "bag" => self.map(|writer| writer.literal()),
            "tree" => self.map(|writer| writer.plain(2)),
            "pattern" => self.pattern(),
            "header" => {
                let headers = self.transaction["request"]["headers"].clone();
                self.member(&headers, true)
            }
            "sent" => {
                let headers = self.transaction["response"]["headers"].clone();
                self.member(&headers, true)
            }
            "argument" => {
                let arguments = self.transaction["request"]["querystring"].clone();
                self.member(&arguments, false)
            }
            other => panic!("no rule may use ${other}"),
        }
    }

    /// The name of a member of `members`, at times with letters of other case, and its first value as what was picked.
    fn member(&mut self, members: &Value, any_case: bool) -> String {
        let mut members: Vec<(&String, &Value)> = members.as_object().into_iter().flatten().collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        let Some((name, value)) = (!members.is_empty()).then(|| members[self.random.below(members.len())]) else {
            self.picked = Value::Null;
            return "'absent'".to_owned();
        };
        self.picked = if let Value::Array(values) = value { values[0].clone() } else { value.clone() };
        let name = if any_case && self.random.one_in(2) { name.to_ascii_uppercase() } else { name.clone() };
        format!("'{name}'")
    }

    fn literal(&mut self) -> String {
        let pieces = [
            "a", "Z", "0", "9", " ", "foo", "bar=1", "&", "%", "%41", "+", "/", "?", "é", "漢字", "-", "_", ".", ",",
            ";", "\\'", "\"", "\\\\", "\\n", "\\t", "x,y", "~", "!", "(", ")", "[", "]", "{}", "<b>", "$", "*",
            "\\127",
        ];
        let text: String = (0..self.random.below(8)).map(|_| self.random.pick(&pieces)).collect();
        format!("'{text}'")
    }

    fn bytes(&mut self) -> String {
        let bytes: String = (0..self.random.below(24)).map(|_| format!("\\{:03}", self.random.below(256))).collect();
        if self.random.one_in(3) { self.literal() } else { format!("'{bytes}'") }
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.one_in(3) {
            return self.literal();
        }
        let depth = depth - 1;
        let inner = self.text(depth);
        match self.random.below(17) {
            0 => format!("string.upper({inner})"),
            1 => format!("string.lower({inner})"),
            2 => format!("({inner}):reverse()"),
            3 => format!("string.sub({inner}, {}, {})", self.expression("position", 0), self.expression("position", 0)),
            4 => format!("string.rep({inner}, {})", self.random.below(4)),
            5 => format!("({inner} .. {})", self.text(depth)),
            6 => format!("ngx.escape_uri({inner})"),
            7 => format!("ngx.unescape_uri({inner})"),
            8 => format!("ngx.encode_base64({inner})"),
            9 => format!("ngx.md5({inner})"),
            10 => format!("tostring({})", self.number(depth)),
            11 => format!("string.format('%s-%d', {inner}, {})", self.integer(0)),
            12 => format!("table.concat({{{inner}, {}}}, {})", self.text(depth), self.expression("letter", 0)),
            13 => format!("(string.gsub({inner}, '%w', '%0%0'))"),
            14 => format!("(ngx.re.gsub({inner}, {}, '<$0>', 'jo') or '')", self.pattern()),
            15 => "kong.request.get_path_with_query()".to_owned(),
            _ => format!("(kong.request.get_header({}) or '')", self.expression("header", 0)),
        }
    }

    fn integer(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.one_in(2) {
            let small = i64::try_from(self.random.below(2000)).expect("small") - 1000;
            return if small < 0 { format!("({small})") } else { small.to_string() };
        }
        match self.random.below(5) {
            0 => format!("#{}", self.text(depth - 1)),
            1 => format!("bit.band({}, {})", self.expression("bits", 0), self.expression("bits", 0)),
            2 => format!("math.floor({})", self.number(depth - 1)),
            3 => format!("({} + {})", self.integer(depth - 1), self.integer(depth - 1)),
            _ => "kong.response.get_status()".to_owned(),
        }
    }

    fn number(&mut self, depth: usize) -> String {
        match self.random.below(4) {
            0 => self.integer(depth),
            1 if depth > 0 => format!("({} * {})", self.number(depth - 1), self.integer(0)),
            2 => format!("(-{})", self.expression("fraction", 0)),
            _ => self.expression("fraction", 0),
        }
    }

    /// A value that JSON has, too.
    fn plain(&mut self, depth: usize) -> String {
        match self.random.below(if depth == 0 { 3 } else { 5 }) {
            0 => self.literal(),
            1 => self.integer(0),
            2 => self.expression("boolean", 0),
            3 => self.list(|writer| writer.plain(depth - 1)),
            _ => self.map(|writer| writer.plain(depth - 1)),
        }
    }

    fn list(&mut self, item: impl Fn(&mut Self) -> String) -> String {
        let items: Vec<String> = (0..self.random.below(6)).map(|_| item(self)).collect();
        format!("{{{}}}", items.join(", "))
    }

    fn map(&mut self, item: impl Fn(&mut Self) -> String) -> String {
        let members: Vec<String> =
            (0..=self.random.below(4)).map(|at| format!("k{at}{} = {}", self.random.word(), item(self))).collect();
        format!("{{{}}}", members.join(", "))
    }

    /// A pattern of `ngx.re` that matches no empty text.
    fn pattern(&mut self) -> String {
        let mut pattern = String::new();
        for _ in 0..=self.random.below(3) {
            let piece =
                self.random.pick(&["[a-z]", "[0-9]", "\\\\w", "\\\\d", "[^,]", ".", "a", "o", "(?:b|r)", "(\\\\w)"]);
            pattern.push_str(piece);
            pattern.push_str(self.random.pick(&["", "", "+", "+?", "{1,2}"]));
        }
        format!("'{pattern}'")
    }
}
