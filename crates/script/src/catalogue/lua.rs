//! Lua's own names.

use super::row::{Group, Row, row};

const GLOBALS: &[Row] = &[
    row("_G", "{[string]: any}", "A read-only table with `kong`, `ngx`, `require` and itself."),
    row("_VERSION", "string", "`Lua 5.1`."),
    row(
        "assert",
        "(value: any, ...any): ...any",
        "Its arguments; raises the error `message` if `value` is nil or false.",
    ),
    row("error", "(message: any, level: number?): never", "Raises an error."),
    row("ipairs", "(table: {any}): (any, {any}, number)", "Iterates over a list, in order."),
    row("next", "(table: {[any]: any}, key: any): (any, any)", "The member after `key`; the first without one."),
    row("pairs", "(table: {[any]: any}): (any, {[any]: any}, any)", "Iterates over all members."),
    row(
        "pcall",
        "(call: (...any) -> ...any, ...any): (boolean, ...any)",
        "Calls it; true and its results, or false and the error.",
    ),
    row("print", "(...any): ()", "Writes a line to Logphase's log, at level notice."),
    row("require", "(module: string): any", "A module that the settings allow."),
    row(
        "select",
        "(from: number | string, ...any): ...any",
        "The arguments from this position on; with `\"#\"`, their number.",
    ),
    row("tonumber", "(value: any, base: number?): number?", "The number, or nil."),
    row(
        "tostring",
        "(value: any): string",
        "The text; of a table, function or coroutine, its kind without an address.",
    ),
    row("type", "(value: any): string", "The name of the type."),
    row("unpack", "(list: {any}, from: number?, to: number?): ...any", "The elements of a list."),
    row(
        "xpcall",
        "(call: (...any) -> ...any, handler: (problem: any) -> ...any, ...any): (boolean, ...any)",
        "As `pcall`; the handler makes something of the error, where it was raised.",
    ),
];

/// The library `bit`, which is also a module. Results are signed numbers of 32 bits.
pub(super) const BIT: &[Row] = &[
    row("tobit", "(x: number): number", "The number as a signed one of 32 bits."),
    row(
        "tohex",
        "(x: number, digits: number?): string",
        "Hexadecimal digits; upper-case for a negative number of them.",
    ),
    row("bnot", "(x: number): number", "All bits the other way."),
    row("band", "(x: number, ...number): number", "The bits that all have."),
    row("bor", "(x: number, ...number): number", "The bits that any has."),
    row("bxor", "(x: number, ...number): number", "The bits that an odd number of them has."),
    row("lshift", "(x: number, by: number): number", "Shifted to the left."),
    row("rshift", "(x: number, by: number): number", "Shifted to the right, with zeros."),
    row("arshift", "(x: number, by: number): number", "Shifted to the right, with the sign."),
    row("rol", "(x: number, by: number): number", "Rotated to the left."),
    row("ror", "(x: number, by: number): number", "Rotated to the right."),
    row("bswap", "(x: number): number", "The bytes in the other order."),
];

const COROUTINE: &[Row] = &[
    row("create", "(body: (...any) -> ...any): thread", "A new coroutine."),
    row(
        "resume",
        "(of: thread, ...any): (boolean, ...any)",
        "Runs it on; true and what it yields, or false and the error.",
    ),
    row("running", "(): thread?", "The coroutine that runs."),
    row("status", "(of: thread): string", "`\"running\"`, `\"suspended\"`, `\"normal\"` or `\"dead\"`."),
    row("wrap", "(body: (...any) -> ...any): (...any) -> ...any", "A function that runs a new coroutine on."),
    row("yield", "(...any): ...any", "Suspends the coroutine that runs."),
];

const IO: &[Row] = &[row("type", "(value: any): nil", "Nil: no value is a file.").strict()];

const JIT: &[Row] = &[
    row("arch", "string", "`x64`."),
    row("os", "string", "`Linux`."),
    row("version", "string", "`LuaJIT 2.1.0-beta3`."),
    row("version_num", "number", "20100."),
];

const MATH: &[Row] = &[
    row("abs", "(x: number): number", "The absolute value."),
    row("acos", "(x: number): number", "The arc cosine, in radians."),
    row("asin", "(x: number): number", "The arc sine, in radians."),
    row("atan", "(x: number): number", "The arc tangent, in radians."),
    row("atan2", "(y: number, x: number): number", "The arc tangent of `y / x`, in radians."),
    row("ceil", "(x: number): number", "The smallest whole number that is not smaller."),
    row("cos", "(x: number): number", "The cosine."),
    row("cosh", "(x: number): number", "The hyperbolic cosine."),
    row("deg", "(x: number): number", "Radians as degrees."),
    row("exp", "(x: number): number", "e to the power of `x`."),
    row("floor", "(x: number): number", "The largest whole number that is not larger."),
    row("fmod", "(x: number, y: number): number", "The remainder, with the sign of `x`."),
    row("frexp", "(x: number): (number, number)", "Fraction and exponent of two."),
    row("huge", "number", "Infinity."),
    row("ldexp", "(fraction: number, exponent: number): number", "`fraction` times two to the power of `exponent`."),
    row("log", "(x: number, base: number?): number", "The logarithm, by default the natural one."),
    row("log10", "(x: number): number", "The logarithm to base ten."),
    row("max", "(x: number, ...number): number", "The largest."),
    row("min", "(x: number, ...number): number", "The smallest."),
    row("modf", "(x: number): (number, number)", "The whole part, and the rest."),
    row("pi", "number", "The number pi."),
    row("pow", "(x: number, y: number): number", "`x` to the power of `y`."),
    row("rad", "(x: number): number", "Degrees as radians."),
    row(
        "random",
        "(from: number?, to: number?): number",
        "A random number: of 0 to 1; with one argument, a whole one from 1 to it; with two, between them.",
    ),
    row("sin", "(x: number): number", "The sine."),
    row("sinh", "(x: number): number", "The hyperbolic sine."),
    row("sqrt", "(x: number): number", "The square root."),
    row("tan", "(x: number): number", "The tangent."),
    row("tanh", "(x: number): number", "The hyperbolic tangent."),
];

const OS: &[Row] = &[
    row("clock", "(): number", "The processor time of the thread, in seconds."),
    row("date", "(format: string?, time: number?): any", "A time as text or, for `*t`, as a table.").strict(),
    row("difftime", "(later: number, earlier: number): number", "The seconds in between."),
    row(
        "time",
        "(table: {[string]: any}?): number",
        "The present, or the time that the table says, in seconds since 1970.",
    ),
];

const STRING: &[Row] = &[
    row("byte", "(text: Text, from: number?, to: number?): ...number", "The codes of the bytes."),
    row("char", "(...number): string", "The text of these codes."),
    row(
        "find",
        "(text: Text, pattern: Text, from: number?, plain: boolean?): (number?, number?, ...any)",
        "The first and the last position of the first match, and its groups; nil without one.",
    ),
    row("format", "(format: Text, ...any): string", "The format filled in, as by LuaJIT."),
    row("gmatch", "(text: Text, pattern: Text): () -> ...any", "An iterator over the groups of all matches."),
    row(
        "gsub",
        "(text: Text, pattern: Text, replacement: Text | {[any]: any} | ((...any) -> any), most: number?): (string, \
         number)",
        "The text with its matches replaced, and their number.",
    ),
    row("len", "(text: Text): number", "The number of bytes."),
    row("lower", "(text: Text): string", "In lower case."),
    row(
        "match",
        "(text: Text, pattern: Text, from: number?): ...any",
        "The groups of the first match; nil without one.",
    ),
    row("rep", "(text: Text, times: number, separator: Text?): string", "The text several times, at most 1 MiB.")
        .strict(),
    row("reverse", "(text: Text): string", "The bytes in the other order."),
    row("sub", "(text: Text, from: number, to: number?): string", "A part; negative positions count from the end."),
    row("upper", "(text: Text): string", "In upper case."),
];

pub(super) const TABLE: &[Row] = &[
    row("clear", "(table: {[any]: any}): ()", "Removes all members."),
    row("clone", "(table: {[any]: any}): {[any]: any}", "A copy of one level."),
    row("concat", "(list: {any}, separator: Text?, from: number?, to: number?): string", "The elements as one text."),
    row(
        "foreach",
        "(table: {[any]: any}, each: (key: any, value: any) -> any): any",
        "Calls it for each member, until it returns something.",
    ),
    row(
        "foreachi",
        "(list: {any}, each: (index: number, value: any) -> any): any",
        "Calls it for each element, until it returns something.",
    ),
    row("getn", "(list: {any}): number", "The number of elements."),
    row(
        "insert",
        "(list: {any}, ...any): ()",
        "`insert(list, value)` adds at the end, `insert(list, position, value)` there.",
    ),
    row("isarray", "(table: {[any]: any}): boolean", "Whether all keys are whole numbers from 1 on."),
    row("isempty", "(table: {[any]: any}): boolean", "Whether there is no member."),
    row("maxn", "(table: {[any]: any}): number", "The largest positive number that is a key, or 0."),
    row("move", "(of: {any}, from: number, to: number, at: number, into: {any}?): {any}", "Copies elements."),
    row("new", "(elements: number?, members: number?): {[any]: any}", "An empty table with room."),
    row("nkeys", "(table: {[any]: any}): number", "The number of members."),
    row("pack", "(...any): {[any]: any}", "A list of the arguments; `n` is their number."),
    row("remove", "(list: {any}, position: number?): any", "Removes an element, by default the last, and returns it."),
    row("sort", "(list: {any}, is_less: ((one: any, other: any) -> any)?): ()", "Sorts a list in place."),
    row("unpack", "(list: {any}, from: number?, to: number?): ...any", "The elements of a list."),
];

/// The functions of `table` that are modules, too: their names here and there.
pub(super) const TABLE_MODULES: [(&str, &str); 6] = [
    ("clear", "table.clear"),
    ("clone", "table.clone"),
    ("isarray", "table.isarray"),
    ("isempty", "table.isempty"),
    ("new", "table.new"),
    ("nkeys", "table.nkeys"),
];

pub(super) const GROUPS: &[Group] = &[
    Group::table("", "Lua's own functions.", &[GLOBALS]),
    Group::table("bit", "Operations on bits; results are signed numbers of 32 bits.", &[BIT]),
    Group::table("coroutine", "Coroutines.", &[COROUTINE]),
    Group::table("io", "What is left of files.", &[IO]),
    Group::table("jit", "What LuaJIT says of itself.", &[JIT]),
    Group::table("math", "Numbers.", &[MATH]),
    Group::table("os", "Times.", &[OS]),
    Group::table("string", "Texts. Patterns are those of Lua 5.1.", &[STRING]),
    Group::table("table", "Tables and lists.", &[TABLE]),
];
