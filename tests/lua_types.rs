//! `logphase schema lua`: types of what snippets can call.

use std::path::Path;
use std::process::Command;

use crate::service::Home;

fn emmylua_check() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
    let made = Command::new(root.join(".ci/emmylua")).arg(built.join("emmylua")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Command::new(String::from_utf8(made.stdout).unwrap().trim_end())
}

/// Scenario: the stubs are written into a directory and printed; the definitions of Luau are both; then into a directory that does
/// not exist, and the directory is named with a JSON Schema.
/// Guarantees: there is a stub for the environment and for each module, what is printed is the first of them; the others end with 74
/// and 2, and say what to do.
#[test]
fn stubs_are_written() {
    let home = Home::new();
    std::fs::create_dir(home.path("stubs")).unwrap();
    let ended = home.run(&["schema", "lua", "--directory", "stubs"], b"");
    assert_eq!((ended.code(), &*ended.stdout), (0, ""), "{}", ended.stderr);
    let main = std::fs::read_to_string(home.path("stubs/logphase.lua")).unwrap();
    assert!(main.contains("\nfunction kong.request.get_header(name) end\n"), "{main}");
    for module in logphase_script::modules() {
        let stub = std::fs::read_to_string(home.path(&format!("stubs/{module}.lua"))).unwrap();
        assert!(stub.starts_with(&format!("---@meta {module}\n")), "{stub}");
    }
    assert_eq!(home.run(&["schema", "lua"], b"").stdout, main);
    let printed = home.run(&["schema", "lua", "--format", "luau"], b"").stdout;
    assert!(printed.contains("\ndeclare function print(...: any): ()\n"), "{printed}");
    let ended = home.run(&["schema", "lua", "--format", "luau", "--directory", "stubs"], b"");
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(home.path("stubs/logphase.d.luau")).unwrap(), printed);
    let ended = home.run(&["schema", "lua", "--directory", "absent"], b"");
    assert_eq!(ended.code(), 74);
    assert!(ended.stderr.contains("name a directory that exists"), "{}", ended.stderr);
    let ended = home.run(&["schema", "kong", "--directory", "stubs"], b"");
    assert_eq!(ended.code(), 2);
    assert!(ended.stderr.contains("a JSON Schema goes to the standard output"), "{}", ended.stderr);
}

/// Lua that uses what it may: tables, methods, modules, callable tables, optional and any number of arguments.
const SOUND: &str = r#"
local cjson, jwt = require("cjson"), require("resty.jwt")
local digest, new_table = require("resty.sha256").new(), require("table.new")
digest:update("a")
kong.log("one", 2, true)
kong.log.warn("status ", kong.response.get_status())
kong.log.inspect({ a = 1 })
kong.log.set_serialize_value("a.b", { 1 }, { mode = "add" })
local value, problem, level = kong.cache:get("k", { ttl = 5 }, function() return 1 end)
local match = ngx.re.match("a", "b", "jo")
local token = jwt:load_jwt("a.b.c")
local route = kong.router.get_route()
ngx.req.set_header("x", { "a", "b" })
kong.ctx.shared.seen = (kong.ctx.shared.seen or 0) + 1
return {
  cjson.encode({ bits = bit.band(1, 2, 4) }), ("x"):upper(), token.valid, value, problem, level, match and match[1],
  table.concat({ "a" }, ","), ngx.HTTP_OK, route and route.name, digest:final(), new_table(1, 2), ngx.var.uri, math.max(1, 2),
}
"#;

/// Lines with one mistake each, and what the checker calls it.
const MISTAKES: [(&str, &str); 7] = [
    ("return kong.request.get_heder('x')", "undefined-field"),
    ("return kong.request.get_header(5)", "param-type-mismatch"),
    ("return kong.request.get_header()", "missing-parameter"),
    ("return ngx.escape_url('x')", "undefined-field"),
    ("return require('cjson').encod({})", "undefined-field"),
    ("return kong.cache.get_all('x')", "undefined-field"),
    ("kong.log.set_serialize_value('a', 1, { mode = 'ad' })", "param-type-mismatch"),
];

/// Scenario: snippets in files beside the stubs and the settings of docs/editors.md, checked by EmmyLua's analyzer, which reads what
/// lua-language-server reads.
/// Guarantees: it finds nothing in a sound one, and each mistake in the others.
#[test]
fn an_analyzer_checks_snippets_by_the_stubs() {
    let home = Home::new();
    std::fs::create_dir(home.path("stubs")).unwrap();
    assert_eq!(home.run(&["schema", "lua", "--directory", "stubs"], b"").code(), 0);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/editors.md")).unwrap();
    let settings = page.split("<!-- luarc -->\n```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    home.write(".luarc.json", settings);
    home.write("sound.lua", SOUND);
    for (number, (code, _)) in MISTAKES.iter().enumerate() {
        home.write(&format!("mistake{number}.lua"), code);
    }
    let ended = emmylua_check().current_dir(home.path("")).args(["--output-format", "json", "."]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let files: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let found = |name: &str| -> Vec<String> {
        let is_it = |file: &&serde_json::Value| file["file"].as_str().is_some_and(|file| file.ends_with(name));
        let files = files.as_array().expect("a list of files");
        let findings =
            files.iter().filter(is_it).flat_map(|file| file["diagnostics"].as_array().cloned().unwrap_or_default());
        findings.map(|finding| finding.to_string()).collect()
    };
    assert_eq!(found("sound.lua"), Vec::<String>::new());
    for (number, (code, kind)) in MISTAKES.iter().enumerate() {
        let found = found(&format!("mistake{number}.lua"));
        assert!(found.iter().any(|finding| finding.contains(kind)), "{code}: {found:?}: {said}");
    }
}
