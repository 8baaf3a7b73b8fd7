//! The catalogue against what snippets really find.

use std::collections::BTreeSet;

use super::names::of_profile;
use super::*;
use crate::catalogue::signature::{Parsed, Type, parse};
use crate::catalogue::{Entry, Kind, Place, Section, TYPES, catalogue, luals, luau, sections};

/// Members of the environment that any use refuses: they would reach out of the sandbox.
const CLOSED: [&str; 7] = [
    "kong.tracing.set_global_tracer",
    "kong.vault.flush",
    "kong.vault.init_worker",
    "kong.vault.try",
    "kong.vault.update",
    "kong.vault.warmup",
    "ngx.run_worker_thread",
];

fn is_closed(name: &str) -> bool {
    let kong = name.strip_prefix("kong.").is_some_and(crate::pdk::is_closed);
    kong || CLOSED.contains(&name) || name.strip_prefix("ngx.").is_some_and(crate::ngx::is_outside)
}

/// The names of a VM's environment, without `_G`'s members.
fn offered(vm: &Vm) -> BTreeSet<String> {
    let names = vm.names().expect("a VM");
    let mut offered = BTreeSet::new();
    let mut tables = vec![String::new()];
    while let Some(prefix) = tables.pop() {
        for name in names.beside(&format!("{prefix}x")) {
            let inner = format!("{name}.");
            if !is_closed(name) {
                offered.insert(name.to_owned());
                tables.extend((name != "_G").then_some(inner));
            }
        }
    }
    offered
}

/// The name of a member with dots.
fn dotted(entry: &Entry) -> String {
    entry.name.replace(':', ".")
}

/// Scenario: the names of the environment in each profile, `kong.ctx`, which computes its members, and the catalogue.
/// Guarantees: the catalogue lists each name, and no other; with the profile that has it.
#[test]
fn the_environment_is_as_listed() {
    for (profile, word) in [(Profile::Strict, "strict"), (Profile::Sandbox, "sandbox")] {
        let bench = of_profile(profile, &[], &[]);
        let found = offered(&bench.vm);
        let is_here = |entry: &&Entry| entry.module.is_none() && (word == "strict" || entry.profile == word);
        let listed: BTreeSet<String> = catalogue()
            .iter()
            .filter(is_here)
            .filter(|entry| !entry.name.starts_with("kong.ctx."))
            .map(dotted)
            .collect();
        let missing: Vec<_> = found.difference(&listed).collect();
        let wrong: Vec<_> = listed.difference(&found).collect();
        assert!(missing.is_empty() && wrong.is_empty(), "{word}: not listed {missing:?}, not there {wrong:?}");
    }
    Bench::on(&sample()).gives(&[
        ("return type(kong.ctx.shared) .. type(kong.ctx.plugin) .. type(kong.ctx.core)", r#""tabletabletable""#),
        ("return kong.ctx.other", "nothing"),
    ]);
}

/// The members of the table that `code` makes.
fn members(bench: &mut Bench, code: &str) -> BTreeSet<String> {
    let code = format!(
        "local m, t = {code}, {{}} if type(m) == 'table' then for name in pairs(m) do t[#t + 1] = name end end return t"
    );
    match bench.shown(&code).as_str() {
        // A list without elements is an object as well.
        "{}" => BTreeSet::new(),
        answer => serde_json::from_str(answer).unwrap_or_else(|error| panic!("{code}: {error}: {answer}")),
    }
}

fn listed(section: &Section) -> BTreeSet<String> {
    section.entries.iter().filter(|entry| !entry.member.is_empty()).map(|entry| entry.member.to_string()).collect()
}

/// Scenario: every module that `require` gives, and an object of each kind.
/// Guarantees: the catalogue lists each member, and no other.
#[test]
fn modules_and_objects_are_as_listed() {
    let mut bench = of_profile(Profile::Strict, &[], &[]);
    let mut modules: BTreeSet<&str> = modules().into_iter().collect();
    for section in sections() {
        let code = match section.place {
            Place::Table => continue,
            Place::Module => {
                assert!(modules.remove(section.name), "{} is no module", section.name);
                format!("require('{}')", section.name)
            }
            Place::Object(code) => code.to_owned(),
        };
        let (found, listed) = (members(&mut bench, &code), listed(&section));
        assert_eq!(found, listed, "{code}");
    }
    assert!(modules.is_empty(), "not listed: {modules:?}");
}

/// Whether Lua's `kind` of a value is one of the type.
fn fits(ty: &Type<'_>, kind: &str) -> bool {
    match ty {
        Type::Name("any") => true,
        Type::Name(name @ ("string" | "number" | "boolean" | "nil" | "thread")) => *name == kind,
        Type::Name("never") => false,
        Type::Name(_) | Type::List(_) | Type::Map(..) | Type::Record(_) => kind == "table",
        Type::Literal(_) => kind == "string",
        Type::Function(_) => kind == "function",
        Type::Union(choices) => choices.iter().any(|choice| fits(choice, kind)),
        Type::Optional(inner) => kind == "nil" || fits(inner, kind),
    }
}

/// Scenario: every value of the catalogue, and every function that takes no argument, on a whole transaction.
/// Guarantees: the value, or the first result, has the listed type; what the catalogue calls a function is one.
#[test]
fn values_and_results_have_their_types() {
    let mut bench = of_profile(Profile::Strict, &[], &[]);
    let mut transaction = sample();
    transaction["_context"]["response_body"] = json!("whole");
    bench.transaction = super::parse(&transaction);
    let mut checked = 0;
    for entry in catalogue().iter().filter(|entry| entry.kind != Kind::Table && entry.in_log_phase()) {
        let path = match entry.module {
            Some(module) if entry.member.is_empty() => format!("require('{module}')"),
            Some(module) => format!("require('{module}').{}", entry.member),
            None => dotted(entry),
        };
        let mut kind = |code: &str| bench.shown(&format!("return type({code})")).trim_matches('"').to_owned();
        match parse(entry.signature).expect("a test parses every signature") {
            Parsed::Value(ty) => {
                let kind = kind(&path);
                let kind = if kind == "userdata" { "table".to_owned() } else { kind };
                assert!(fits(&ty, &kind), "{} is a {kind}", entry.name);
            }
            Parsed::Function(signature) => {
                let found = kind(&path);
                assert!(found == "function" || found == "table" && entry.member.is_empty(), "{}: {found}", entry.name);
                let takes_none = signature.parameters.items.is_empty() && signature.parameters.rest.is_none();
                if !takes_none || signature.method || ["coroutine.yield", "os.clock"].contains(&entry.name.as_str()) {
                    continue;
                }
                let found = kind(&format!("({path}())"));
                let ty = signature.returns.items.first().map_or(Type::Name("nil"), |first| first.ty.clone());
                assert!(fits(&ty, &found), "{}: {found}", entry.name);
            }
        }
        checked += 1;
    }
    assert!(checked > 200, "{checked}");
}

/// The refusal of a function outside of its phases, with the phases if Kong names them.
fn refusal(answer: &str) -> Option<Option<&str>> {
    if answer.contains("API disabled in the context of") {
        return Some(None);
    }
    let (_, phases) = answer.split_once("function cannot be called in ")?.1.split_once("(only in: ")?;
    phases.split_once(')').map(|(phases, _)| Some(phases))
}

/// Scenario: every function of `kong` and `ngx`, called without arguments in each phase.
/// Guarantees: those that the catalogue restricts are refused outside of the listed phases alone, and Kong's refusal names
/// exactly these; the others are refused in none.
#[test]
fn phases_are_as_listed() {
    let mut transaction = sample();
    transaction["_context"]["response_body"] = json!("whole");
    let mut bench = Bench::on(&transaction);
    // What they may read is there in the log phase, too, if the proxy sends it.
    let bodies = ["kong.request.get_body", "kong.request.get_raw_body", "kong.response.get_raw_body"];
    let mut restricted = 0;
    for entry in catalogue().iter().filter(|entry| entry.module.is_none() && !bodies.contains(&&*entry.name)) {
        let in_host = entry.name.starts_with("kong.") || entry.name.starts_with("ngx.");
        let code = match entry.kind {
            Kind::Function if in_host => format!("{}()", entry.name),
            Kind::Value if entry.name == "ngx.arg" => "ngx.arg[1]".to_owned(),
            _ => continue,
        };
        for phase in Phase::REPLAYED.into_iter().chain([Phase::Log]) {
            bench.begin();
            bench.vm.enter_phase(phase);
            let text =
                format!("local ok, problem = pcall(function() return {code} end) return ok or tostring(problem)");
            bench.field("v", &text).expect("it catches errors");
            let answer = bench.members().remove("v").unwrap_or_default();
            let refusal = refusal(&answer);
            let allowed = entry.phases.is_empty() || entry.phases.split(", ").any(|listed| listed == phase.name());
            assert_eq!(refusal.is_none(), allowed, "{} in {phase}: {answer}", entry.name);
            if let Some(Some(phases)) = refusal {
                assert_eq!(phases, entry.phases, "{}", entry.name);
            }
        }
        restricted += usize::from(!entry.phases.is_empty());
    }
    assert!(restricted > 70, "{restricted}");
}

/// The parameters of a type without names, and names that nothing declares.
fn faults(text: &str, types: &BTreeSet<&str>) -> Vec<String> {
    let words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
    let unknown = words.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()) && !types.contains(word));
    unknown.map(str::to_owned).collect()
}

/// Scenario: every signature of the catalogue.
/// Guarantees: it is read, and written again as it was; its types are declared; parameters have names that are none of Lua's
/// words; each name has a sentence, and is listed once in its section.
#[test]
fn signatures_are_whole() {
    const WORDS: [&str; 12] =
        ["and", "break", "do", "else", "end", "for", "function", "if", "in", "local", "not", "repeat"];
    let sections = sections();
    let objects =
        sections.iter().filter(|section| matches!(section.place, Place::Object(_))).map(|section| section.name);
    let types: BTreeSet<&str> = TYPES.iter().map(|(name, ..)| *name).chain(objects).collect();
    for section in &sections {
        assert!(section.about.ends_with('.'), "{}", section.about);
        let mut seen = BTreeSet::new();
        for entry in &section.entries {
            assert!(seen.insert(&entry.member), "{} twice", entry.name);
            assert!(entry.doc.ends_with(['.', ':']), "{}: {}", entry.name, entry.doc);
            let parsed = parse(entry.signature).unwrap_or_else(|rest| panic!("{}: {rest}", entry.name));
            assert_eq!(faults(entry.signature, &types), Vec::<String>::new(), "{}", entry.name);
            let again = match &parsed {
                Parsed::Value(ty) => ty.to_string(),
                Parsed::Function(signature) => {
                    for parameter in &signature.parameters.items {
                        let name =
                            parameter.name.unwrap_or_else(|| panic!("{}: a parameter without a name", entry.name));
                        assert!(!WORDS.contains(&name), "{}: {name}", entry.name);
                    }
                    let text = signature.to_string().replacen(") -> ", "): ", 1);
                    text.replacen("self: any", "self", 1)
                }
            };
            let blank = |text: &str| text.replace([' ', '(', ')'], "").replace("->", ":");
            assert_eq!(blank(&again), blank(entry.signature), "{}", entry.name);
        }
    }
    for (name, ty, _) in TYPES {
        assert!(matches!(parse(ty), Ok(Parsed::Value(_))), "{name}");
    }
}

/// Scenario: malformed signatures.
/// Guarantees: each is refused, with the rest that cannot be read.
#[test]
fn malformed_signatures_are_refused() {
    for text in [
        "",
        "(",
        "(a: string",
        "(a: string)",
        "(a: string):",
        "{",
        "{[string]}",
        "(a string): nil",
        "string |",
        "\"x",
        "(): nil x",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

/// Scenario: the stubs of LuaLS.
/// Guarantees: each is Lua that compiles, says that it is a stub, and has each function of the catalogue; a module's returns
/// what it defines.
#[test]
fn stubs_are_lua() {
    let files = luals::files();
    for file in &files {
        assert!(file.text.starts_with("---@meta "), "{}", file.name);
        let limits = SourceLimits { bytes: 1 << 20, ..SourceLimits::default() };
        compile(&file.text, &limits).unwrap_or_else(|error| panic!("{}: {error}", file.name));
    }
    for entry in catalogue().iter().filter(|entry| entry.kind != Kind::Table && !entry.member.is_empty()) {
        let name = entry.module.map_or_else(|| "logphase.lua".to_owned(), |module| format!("{module}.lua"));
        let file = files.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("no {name}"));
        let member = entry.module.map_or_else(|| entry.name.clone(), |module| entry.name.replacen(module, "module", 1));
        let there = match entry.kind {
            Kind::Value => {
                file.text.contains(&format!("---@field {} ", entry.member))
                    || file.text.contains(&format!("\n{member} = nil"))
            }
            _ => file.text.contains(&format!("\nfunction {member}(")),
        };
        assert!(there, "{name} lacks {member}");
    }
}

/// Scenario: the definition file of Luau.
/// Guarantees: it declares each global once, and has each name of the catalogue.
#[test]
fn definitions_have_every_name() {
    let text = luau::definitions();
    for section in sections() {
        let declared = match section.place {
            Place::Object(_) => format!("\nexport type {} = ", section.name),
            Place::Module => format!("\nexport type Module_{} = ", section.name.replace('.', "_")),
            Place::Table if section.name.is_empty() => {
                for entry in &section.entries {
                    let head = if entry.kind == Kind::Value { "declare " } else { "declare function " };
                    assert!(text.contains(&format!("\n{head}{}", entry.name)), "{}", entry.name);
                }
                continue;
            }
            Place::Table if section.name.contains('.') => {
                let name = section.name.rsplit('.').next().expect("it has a dot");
                format!("  {name}: ")
            }
            Place::Table => format!("\ndeclare {}: ", section.name),
        };
        assert!(text.contains(&declared), "{declared}");
        for entry in section.entries.iter().filter(|entry| !entry.member.is_empty()) {
            assert!(text.contains(&format!(" {}: ", entry.member)), "{}", entry.name);
        }
    }
}

/// Scenario: the definition file, with `local` for the word `declare`, which Luau has in definition files alone.
/// Guarantees: Luau's own parser takes every type in it.
#[test]
fn definitions_are_luau() {
    let mut text = String::new();
    for line in luau::definitions().lines() {
        let line = match (line.strip_prefix("declare function "), line.strip_prefix("declare ")) {
            (Some(rest), _) => format!("local function {rest} end"),
            (_, Some(rest)) => format!("local {rest}"),
            _ => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    let limits = SourceLimits { bytes: 1 << 20, ..SourceLimits::default() };
    compile(&text, &limits).unwrap_or_else(|error| panic!("{error}"));
    assert!(compile(&text.replacen("-> string", "-> string?>", 1), &limits).is_err());
}
