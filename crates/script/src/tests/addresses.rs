//! No text that a snippet can get or cause has the address of a value: addresses tell where the process has its memory.

use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span;

use super::*;

/// Everything that is logged while it is the default subscriber.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<String>>);

impl Visit for Logged {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        let mut text = self.0.lock();
        text.push_str(&format!("{value:?}\n"));
    }
}

impl tracing::Subscriber for Logged {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Values that have no text of their own.
const ODD: &str = "{ {}, { { } }, function() end, print, coroutine.create(function() end), ngx.null, require('cjson').null, \
                   require('resty.md5').new(), string, kong.log }";

/// Calls every function that snippets reach, and every table, with each odd value at each position among others, and looks
/// through what it returns and raises. Returns the number of functions and the texts with an address.
const CALL_EVERYTHING: &str = r#"
local found, seen, functions = {}, {}, {}
local function look(value, what, depth)
  if type(value) == 'string' then
    if value:find('0x%x%x%x%x%x') and #found < 20 then found[#found + 1] = what .. ': ' .. value:sub(1, 200) end
  elseif type(value) == 'table' and depth < 3 then
    local count = 0
    for key, member in pairs(value) do
      count += 1
      if count > 50 then break end
      look(key, what, depth + 1)
      look(member, what, depth + 1)
    end
  end
end
local function call(what, f, ...)
  local results = table.pack(pcall(f, ...))
  for at = 1, results.n do
    look(results[at], what, 0)
    look(tostring(results[at]), what, 0)
  end
  return results[2]
end
local function walk(name, value, depth)
  if seen[value] or depth > 6 then return end
  if type(value) == 'function' then
    seen[value] = true
    functions[#functions + 1] = { name, value }
  elseif type(value) == 'table' then
    seen[value] = true
    functions[#functions + 1] = { name, value }
    for key, member in pairs(value) do walk(name .. '.' .. tostring(key), member, depth + 1) end
  end
end
local roots = { assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall, print = print,
  require = require, select = select, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack, xpcall = xpcall,
  bit = bit, coroutine = coroutine, jit = jit, kong = kong, math = math, ngx = ngx, os = os, string = string, table = table,
  io = io }
for name, value in pairs(roots) do walk(name, value, 0) end
for name in (MODULES):gmatch('%S+') do walk(name, require(name), 0) end
local function fills()
  return { { '%s %q %5s %c %*', 1, 'x' }, { 1, 'x', 1 }, { {}, 'x', {} }, { { {}, print }, ', ', 1 } }
end
for _, entry in ipairs(functions) do
  for at, odd in ipairs(ODD) do
    local what = entry[1] .. ' of ' .. at
    call(what, entry[2], odd)
    call(what, entry[2], odd, odd, odd, odd)
    for _, fill in ipairs(fills()) do
      for position = 1, 4 do
        local arguments = { fill[1], fill[2], fill[3], fill[4] }
        arguments[position] = odd
        local result = call(what, entry[2], unpack(arguments, 1, 4))
        if type(result) == 'function' then call(what .. ' twice', result, odd) end
      end
    end
  end
end
for _, odd in ipairs(ODD) do
  for _, f in ipairs({
    function() return odd .. 'x' end, function() return odd + 1 end, function() return odd < odd end, function() return -odd end,
    function() return #odd end, function() return odd.x.y end, function() return odd() end, function() odd.x = 1 end,
    function() for _ in odd do end end, function() for i = odd, 2 do end end, function() error(odd) end,
    function() error({ odd }) end, function() return `{odd}` end, function() return ('x')[odd] end,
  }) do call('an operator', f) end
end
return #functions .. ' functions; ' .. table.concat(found, '; ')
"#;

/// Scenario: every function and module of the strict profile is called with tables, functions, coroutines and userdata at each
/// position; so are operators; fields return and raise such values.
/// Guarantees: no result, error, message or line of the log has an address.
#[test]
fn nothing_shows_an_address() {
    let long = Duration::from_secs(100);
    let limits = Limits {
        deadline: long,
        plugin_deadline: long,
        memory: 512 << 20,
        log_lines_per_second: u32::MAX,
        ..Limits::default()
    };
    let requires = modules().into_iter().map(str::to_owned).collect();
    let dialect = Dialect { profile: Profile::Strict, requires, ..Dialect::default() };
    let logged = Logged::default();
    let shown = tracing::subscriber::with_default(logged.clone(), || {
        let mut bench = Bench::with(&sample(), Options { limits, dialect, ..Options::default() });
        let code = CALL_EVERYTHING.replace("(ODD)", &format!("({ODD})"));
        let code = code.replace("MODULES", &format!("'{}'", modules().join(" ")));
        let all = bench.shown(&code);
        let count: usize = all.trim_matches('"').split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        assert!(count > 200 && all.ends_with("functions; \""), "{all}");
        let fields = ["return O", "error(O)", "error({O})", "kong.log.set_serialize_value('k', O)", "kong.log.err(O)"];
        let fields =
            fields.into_iter().flat_map(|field| (1..=10).map(move |at| field.replace('O', &format!("({ODD})[{at}]"))));
        fields.map(|field| bench.shown(&field)).collect::<Vec<_>>().join("\n")
    });
    let log = logged.0.lock().clone();
    assert!(log.len() > 10_000, "{log}");
    let address = |text: &str| {
        let starts = text.match_indices("0x").map(|(at, _)| at + 2);
        let long = |at: usize| text[at..].bytes().take_while(u8::is_ascii_hexdigit).count() > 4;
        starts
            .filter(|at| long(*at))
            .map(|at| text[at.saturating_sub(80)..].chars().take(160).collect())
            .collect::<Vec<String>>()
    };
    assert_eq!((address(&shown), address(&log)), (Vec::new(), Vec::new()));
}
