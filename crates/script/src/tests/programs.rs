//! Random programs of a grammar, most of them hostile, under small limits.

use super::*;

const PROGRAMS: u64 = 20_000;
const DEADLINE: Duration = Duration::from_millis(4);
/// CPU time of a program beyond its deadline: the clock's tick, the grace period, and one operation that cannot be
/// interrupted, such as a collection of the whole VM.
const USUAL: Duration = Duration::from_millis(13);
/// On a busy machine the thread that advances the clock runs late, and an operation takes more CPU time because the
/// programs beside it compete for caches. Then a few programs take longer, but none longer than this.
const MAX_CPU_TIME: Duration = Duration::from_millis(60);
const MEMORY: usize = 6 << 20;

/// Writes one program, which depends only on the seed.
struct Writer {
    random: u64,
    out: String,
    /// How many more statements may be written.
    left: u32,
    names: u32,
}

impl Writer {
    fn program(seed: u64) -> String {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut writer = Self { random, out: String::new(), left: 40, names: 0 };
        writer.below(7);
        writer
            .out
            .push_str("local a, b, s, t = 1, 2, 'ab', {3, 1, 2, k = 'v'}\nlocal f = function(...) return ... end\n");
        writer.block(0);
        writer.out.push_str("return ");
        writer.expression(0);
        writer.out
    }

    /// A random number below `bound` (xorshift64*).
    fn below(&mut self, bound: u64) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let number = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number % bound).expect("a small bound")
    }

    fn pick(&mut self, choices: &[&str]) {
        let at = self.below(choices.len() as u64);
        self.out.push_str(choices[at]);
    }

    /// Writes a template in which `$e` is an expression, `$b` a block, `$f` a function, `$n` a new local name.
    fn form(&mut self, choices: &[&str], depth: u32) {
        let form = choices[self.below(choices.len() as u64)].to_owned();
        let mut name = String::new();
        let mut parts = form.split('$');
        self.out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            match part.as_bytes().first() {
                Some(b'e') => self.expression(depth + 1),
                Some(b'b') => self.block(depth + 1),
                Some(b'f') => self.function(depth + 1),
                Some(b'n') => {
                    if name.is_empty() {
                        self.names += 1;
                        name = format!("n{}", self.names);
                    }
                    self.out.push_str(&name);
                }
                _ => unreachable!("a form names what it holds"),
            }
            self.out.push_str(&part[1..]);
        }
    }

    fn block(&mut self, depth: u32) {
        for _ in 0..=self.below(3) {
            self.statement(depth);
        }
    }

    fn function(&mut self, depth: u32) {
        self.form(
            &[
                "function(...) $b return $e end",
                "function(x, y, ...) a = x $b return y end",
                "function(...) return f($e) end",
                "function(...) error($e) end",
                "f",
                "error",
                "tostring",
                "coroutine.yield",
                "string.upper",
                "kong.request.get_headers",
            ],
            depth,
        );
    }

    fn statement(&mut self, depth: u32) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || depth > 6 {
            self.out.push_str("a = a\n");
            return;
        }
        self.form(STATEMENTS, depth);
        self.out.push('\n');
    }

    fn expression(&mut self, depth: u32) {
        if depth > 6 || self.below(3) == 0 {
            self.pick(ATOMS);
        } else {
            self.form(EXPRESSIONS, depth);
        }
    }
}

const ATOMS: &[&str] = &[
    "a",
    "b",
    "s",
    "t",
    "f",
    "nil",
    "true",
    "0",
    "-1",
    "2^31",
    "2^53",
    "1e308",
    "1/0",
    "0/0",
    "''",
    "'%d'",
    "'x'",
    "{}",
    "g1",
    "g2",
    "_G",
    "string",
    "math",
    "kong",
    "ngx",
    "table",
    "ngx.null",
    "kong.ctx.shared",
    "kong.ctx.plugin",
    "...",
    "kong.request",
    "os.time",
    "print",
    "#s",
    "#t",
    "('a')",
    "kong.request.get_headers()",
    "kong.request.get_query()",
];

const EXPRESSIONS: &[&str] = &[
    "($e + $e)",
    "($e .. $e)",
    "($e == $e)",
    "(not $e)",
    "($e and $e or $e)",
    "#($e)",
    "{$e, $e, k = $e}",
    "{[$e] = $e}",
    "t[$e]",
    "t.k",
    "(f($e))",
    "($f)",
    "tostring($e)",
    "tonumber($e)",
    "type($e)",
    "select('#', $e)",
    "(pcall($f, $e))",
    "select(2, pcall($f, $e))",
    "(xpcall($f, $f))",
    "coroutine.wrap($f)($e)",
    "select(2, coroutine.resume(coroutine.create($f), $e))",
    "s:rep(3)",
    "s:upper()",
    "s:find($e)",
    "s:match('(.-)b')",
    "(s:gsub('.', $f))",
    "(s:gsub('%w', $e))",
    "(s:gsub('(.)', {a = $e}))",
    "s:find('.-.-.-.-c')",
    "s:byte($e)",
    "s:sub($e, $e)",
    "string.format('%s %5.2f', $e, a)",
    "string.format($e, $e)",
    "string.char(a % 256, 66)",
    "table.concat(t, $e)",
    "table.concat({s, s, s}, s)",
    "unpack({1, 2, 3}, $e, $e)",
    "table.pack($e, $e).n",
    "table.remove(t)",
    "next($e)",
    "math.floor(a)",
    "math.random($e)",
    "bit.bxor($e, 7)",
    "bit.lshift(1, $e)",
    "kong.request.get_header($e)",
    "kong.request.get_header('h1')",
    "kong.request.get_query_arg($e)",
    "kong.response.get_status()",
    "kong.log.serialize()",
    "kong.router.get_route()",
    "ngx.var[$e]",
    "ngx.encode_base64($e)",
    "ngx.re.match(s, '(a|b)*c', 'jo')",
    "ngx.re.gsub(s, $e, $e)",
    "require('cjson').encode($e)",
    "require('cjson.safe').decode($e)",
    "require($e)",
];

const STATEMENTS: &[&str] = &[
    "local $n = $e f($n)",
    "a = $e",
    "b = (tonumber($e) or 0) + 1",
    "s = tostring($e)",
    "s = s .. s",
    "for $n = 1, 24 do s = s .. s end",
    "for $n = 1, 24 do pcall(function() s = s .. s end) end",
    "t[#t + 1] = $e",
    "t[$e] = $e",
    "t = {t, t}",
    "t = {$e}",
    "g1 = $e",
    "g2 = $f",
    "f = $f",
    "for $n = 1, 20 do $b end",
    "for $n = 1, 1e9 do $b end",
    "while $e do $b break end",
    "while true do $b end",
    "while true do pcall($f) end",
    "repeat $b until $e",
    "for $n in pairs(t) do $b end",
    "for _, $n in ipairs(t) do $b end",
    "for $n in next, t do $b end",
    "for $n in s:gmatch('.') do $b end",
    "for $n in coroutine.wrap($f) do $b break end",
    "if $e then $b else $b end",
    "do $b end",
    "pcall($f, $e)",
    "xpcall($f, $f)",
    "pcall(pcall, $f)",
    "local function $n(...) return $n($e) end pcall($n)",
    "local function $n(...) return 1 + $n($e) end pcall($n)",
    "local $n = coroutine.create($f) coroutine.resume($n, $e) coroutine.resume($n)",
    "pcall(table.sort, t, $f)",
    "pcall(table.sort, t, function(x, y, ...) return tostring(x) < tostring(y) end)",
    "pcall(table.insert, t, $e)",
    "pcall(table.insert, t, $e, $e)",
    "pcall(table.move, t, $e, $e, $e)",
    "pcall(table.foreach, t, $f)",
    "pcall(table.clear, $e)",
    "pcall(function(...) string.upper = $e end)",
    "pcall(function(...) kong.request.get_method = $e end)",
    "pcall(function(...) ($e)[$e] = $e end)",
    "pcall(function(...) _G.g1 = $e end)",
    "string = $e",
    "kong.ctx.shared.s1 = $e",
    "kong.ctx.plugin.s1 = $e",
    "pcall(kong.log.set_serialize_value, $e, $e)",
    "kong.log.set_serialize_value('x.y', $e)",
    "kong.log.err($e)",
    "print($e)",
    "pcall(error, $e)",
    "error($e)",
];

/// Records every reachable function and table, and reports in later calls whether any has changed.
const WATCH: &str = r"
    local saved = {}
    local function walk(path, value, depth)
      saved[path] = value
      if type(value) == 'table' and depth < 4 then
        for name, member in pairs(value) do
          if member ~= value and name ~= '_G' then walk(path .. '.' .. tostring(name), member, depth + 1) end
        end
      end
    end
    local function all()
      return {string = string, table = table, math = math, os = os, bit = bit, coroutine = coroutine, jit = jit, io = io,
        kong = kong, ngx = ngx, _G = _G, print = print, pcall = pcall, tostring = tostring, require = require}
    end
    walk('', all(), 0)
    local before = saved
    return function()
      saved = {}
      walk('', all(), 0)
      for path, value in pairs(before) do
        if path ~= '' and saved[path] ~= value and value == value then return kong.log.set_serialize_value('watch', path) end
      end
      for path in pairs(saved) do
        if before[path] == nil then return kong.log.set_serialize_value('watch', path) end
      end
      kong.log.set_serialize_value('watch', 'as it was')
    end";

/// The traces that a program could leave for the next run.
const LEFT: &str = "return {g1 == nil, g2 == nil, type(string), kong.ctx.shared.s1 == nil, kong.ctx.plugin.s1 == nil, \
                    ('a'):upper(), kong.request.get_method(), kong.request.get_header('user-agent')}";

/// A VM with the limits of this test, and the snippets that inspect it.
struct Guarded {
    bench: Bench,
    watch: SnippetId,
    left: SnippetId,
    /// Programs that took longer than [`USUAL`].
    slow: u64,
}

impl Guarded {
    fn new() -> Self {
        let modules = modules().into_iter().map(str::to_owned).collect();
        let plugin_deadline = Duration::from_secs(60);
        let limits = Limits { deadline: DEADLINE, plugin_deadline, memory: MEMORY, ..Limits::default() };
        let dialect = Dialect { profile: Profile::Strict, requires: modules, environment: Vec::new() };
        let mut bench = Bench::with(&sample(), Options { limits, dialect, ..Options::default() });
        let (watch, left) = (bench.load(WATCH), bench.load(LEFT));
        let mut guarded = Self { bench, watch, left, slow: 0 };
        guarded.look("the start");
        guarded
    }

    /// Fails unless the environment is unchanged and no trace of `program` is left.
    fn look(&mut self, program: &str) {
        self.bench.begin();
        // On a busy machine the inspecting snippet itself may exceed the short deadline, so it gets several attempts.
        let watched = (0..50).any(|_| self.bench.vm.run_function(self.watch).is_ok());
        assert!(watched, "the watch fails after\n{program}");
        assert_eq!(self.bench.members()["watch"], r#""as it was""#, "\n{program}");
        let path = KeyPath::parse("left", false);
        let looked = (0..50).any(|_| self.bench.vm.run_field(self.left, &path).is_ok());
        assert!(looked, "the next run fails after\n{program}");
        let nothing = r#"[true,true,"table",true,true,"A","POST","curl/8"]"#;
        assert_eq!(self.bench.members()["left"], nothing, "\n{program}");
    }

    /// Runs one program. Returns the budget that it exceeded; outer `None` if the VM had no memory to load it.
    fn run(&mut self, program: &str) -> Option<Option<Stop>> {
        let bytecode = compile(program, &SourceLimits::default()).unwrap_or_else(|error| panic!("{error}\n{program}"));
        let snippet = self.bench.vm.load(&bytecode).ok()?;
        let mut result = Ok(());
        let took = least_cpu_time(MAX_CPU_TIME, || {
            self.bench.begin();
            result = self.bench.vm.run_field(snippet, &KeyPath::parse("v", false));
        });
        assert!(took <= MAX_CPU_TIME, "{took:?} for\n{program}");
        self.slow += u64::from(took > USUAL);
        let used = self.bench.vm.used_memory();
        assert!(used <= MEMORY + (1 << 20), "{used} bytes for\n{program}");
        Some(result.err().and_then(|error| error.stop))
    }
}

/// Scenario: 20,000 random programs (loops, functions, pcall, coroutines, libraries, patterns, host functions) on VMs with
/// a deadline of 4 ms and 6 MiB, a new one after each memory error as in production.
/// Guarantees: the process survives; 99 % of the programs take less CPU time than twice the deadline and 5 ms, and the rest
/// are stopped soon after; none holds more than the limit and 1 MiB; modules are unchanged and the next run finds no trace.
/// Some programs finish and some exceed each budget, so that the test covers all of these.
#[test]
fn programs_stay_in_their_box() {
    let threads: Vec<_> = (0..2)
        .map(|half| {
            let work = move || {
                let mut worker_stats = [0_u64; 3];
                let (mut guarded, mut slow) = (Guarded::new(), 0);
                for seed in (half..PROGRAMS).step_by(2) {
                    let program = Writer::program(seed);
                    let stop = guarded.run(&program);
                    let renew = matches!(stop, None | Some(Some(Stop::Memory)));
                    match stop {
                        Some(Some(Stop::Deadline)) => worker_stats[1] += 1,
                        Some(Some(Stop::Memory)) => worker_stats[2] += 1,
                        _ => worker_stats[0] += 1,
                    }
                    // Snippets are never unloaded: production loads them once.
                    slow += std::mem::take(&mut guarded.slow);
                    if renew || seed % 500 < 2 {
                        guarded = Guarded::new();
                    } else {
                        guarded.look(&program);
                    }
                }
                (worker_stats, slow)
            };
            std::thread::Builder::new().stack_size(8 << 20).spawn(work).expect("a thread")
        })
        .collect();
    let (mut total, mut slow) = ([0; 3], 0);
    for thread in threads {
        let (worker_stats, worker_slow) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        total.iter_mut().zip(worker_stats).for_each(|(sum, part)| *sum += part);
        slow += worker_slow;
    }
    assert!(total.iter().all(|count| *count > PROGRAMS / 200), "{total:?}");
    assert!(slow <= PROGRAMS / 100, "{slow} programs took longer than {USUAL:?}");
}
