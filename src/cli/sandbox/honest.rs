//! Checks that an attack changed nothing: the message of an honest transaction, and everything that snippets can reach.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

/// The transaction that every script gets.
pub(super) const TRANSACTION: Bytes = Bytes::from_static(include_bytes!("../../../examples/transaction.json"));

/// Fields that use the functions that attacks target, each with its expected value.
pub(super) fn fields() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "honest.string",
            r#"local s = ("a-b"):gsub("-", "+"):upper()
               return s .. ("x=1"):match("=(%d)") .. ("%05.1f|%q"):format(3.14159, "q") .. #s .. string.sub("xyz", 2, 2)
                 .. tostring(nil) .. tostring(1.5) .. type(string.find)"#,
            json!("A+B1003.1|\"q\"3ynil1.5function"),
        ),
        (
            "honest.table",
            r##"local t = {3, 1, 2}
               table.sort(t) table.insert(t, 4)
               local n = 0 for _ in pairs({a = 1, b = 2}) do n = n + 1 end
               return table.concat(t, ",") .. "|" .. #t .. "|" .. select("#", unpack(t)) .. "|" .. n .. next({7})"##,
            json!("1,2,3,4|4|4|21"),
        ),
        (
            "honest.request",
            r#"return {kong.request.get_method(), kong.request.get_header("user-agent"), kong.response.get_status(),
                       kong.client.get_ip(), kong.router.get_route().name, ngx.var.request_method, ngx.status}"#,
            json!(["POST", "acme-shop/4.2", 201, "198.51.100.23", "orders-v1", "POST", 201]),
        ),
        (
            "honest.shared",
            r#"kong.ctx.shared.honest = (kong.ctx.shared.honest or 0) + 1
               ngx.ctx.honest = (ngx.ctx.honest or 0) + 1"#,
            Value::Null,
        ),
        ("honest.shared_seen", "return kong.ctx.shared.honest + ngx.ctx.honest", json!(2)),
        (
            "honest.globals",
            r#"honest = (honest or 0) + 1
               return {honest, type(attack), type(leaked), type(evil), type(secret), type(counter)}"#,
            json!([1, "nil", "nil", "nil", "nil", "nil"]),
        ),
        (
            "honest.calls",
            r#"local ok, problem = pcall(error, "x")
               local twice = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end)
               return tostring(ok) .. problem .. twice(1) + twice(10)"#,
            json!("falsex22"),
        ),
        ("honest.numbers", r#"return bit.band(255, 15) + math.floor(2.7) + tonumber("10")"#, json!(27)),
        ("honest.base64", r#"return ngx.decode_base64(ngx.encode_base64("hello"))"#, json!("hello")),
        ("route", "return nil", Value::Null),
    ]
}

/// The expected message: [`TRANSACTION`] with [`fields`].
pub(super) fn message() -> Value {
    let mut message: Value = serde_json::from_slice(&TRANSACTION).unwrap_or_default();
    message["request"]["headers"]["authorization"] = json!("REDACTED");
    let fields = fields();
    let honest =
        fields.iter().filter_map(|(key, _, value)| Some((key.strip_prefix("honest.")?.to_owned(), value.clone())));
    message["honest"] = honest.filter(|(_, value)| !value.is_null()).collect();
    if let Some(members) = message.as_object_mut() {
        members.retain(|name, _| name != "_context" && name != "route");
    }
    message
}

/// The globals of Kong, and globals that must not exist.
const GLOBALS: &str = "_G _VERSION assert bit coroutine error io ipairs jit kong math next ngx os pairs pcall print \
    require select string table tonumber tostring type unpack xpcall \
    _ENV bit32 buffer cjson collectgarbage debug dofile ffi gcinfo getfenv getmetatable load loadfile loadstring module \
    ndk newproxy package rawequal rawget rawlen rawset setfenv setmetatable shared typeof utf8 vector integer class task";

/// A Lua function that records every reachable value on its first run, and lists on each run the values and those that
/// have changed since the first run.
pub(super) fn fingerprint() -> String {
    let mut source = String::from(
        r#"local first = {}
local lines, changed, seen
local function walk(path, value, depth)
  local kind = type(value)
  local plain = kind == "string" or kind == "number" or kind == "boolean"
  lines[#lines + 1] = path .. ": " .. (if plain then kind .. " " .. tostring(value) else kind)
  if first[path] == nil then
    first[path] = value
  elseif first[path] ~= value then
    changed[#changed + 1] = path
  end
  if kind == "table" and depth < 8 and not seen[value] then
    seen[value] = true
    for name, member in next, value do
      walk(path .. "." .. tostring(name), member, depth + 1)
    end
  end
end
return function()
  lines, changed, seen = {}, {}, {}
"#,
    );
    for name in GLOBALS.split_whitespace() {
        // A chunk that assigns a global looks it up at each run; other chunks cache it when they are loaded.
        let _ = writeln!(source, "  if lines == nil then {name} = nil end walk({name:?}, {name}, 0)");
    }
    for name in logphase_script::modules() {
        let _ = writeln!(
            source,
            "  do local ok, it = pcall(require, {name:?}) if ok then walk('require {name}', it, 0) end end"
        );
    }
    source.push_str(
        r#"  for name, member in next, string do
    if ("")[name] ~= member then changed[#changed + 1] = "(''):" .. name end
  end
  table.sort(lines)
  kong.log.set_serialize_value("fingerprint", {lines = table.concat(lines, "\n"), changed = table.concat(changed, ", ")})
end
"#,
    );
    source
}

/// The first difference between two fingerprints.
pub(super) fn difference(before: &Value, now: &Value) -> Option<String> {
    let changed = now["changed"].as_str().unwrap_or("(no fingerprint)");
    if !changed.is_empty() {
        return Some(format!("changed: {changed}"));
    }
    let lines = |value: &Value| value["lines"].as_str().unwrap_or_default().to_owned();
    let (before, now) = (lines(before), lines(now));
    let removed = before.lines().find(|line| !now.lines().any(|other| other == *line));
    let added = now.lines().find(|line| !before.lines().any(|other| other == *line));
    match (removed, added) {
        (None, None) => None,
        (removed, added) => {
            Some(format!("was `{}`, is `{}`", removed.unwrap_or("nothing"), added.unwrap_or("nothing")))
        }
    }
}
