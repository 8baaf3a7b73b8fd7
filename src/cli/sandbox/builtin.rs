//! The scripts in the folder `sandbox/`, built in. A test checks that this list matches the folder.

macro_rules! scripts {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sandbox/", $path)))),*]
    };
}

/// The path of each script in the folder, and its text.
pub(super) const SCRIPTS: &[(&str, &str)] = scripts![
    "01-endless/for-huge.lua"
    "01-endless/mutual-calls.lua"
    "01-endless/repeat.lua"
    "01-endless/while.lua"
    "02-pcall/host-function.lua"
    "02-pcall/loop.lua"
    "02-pcall/recursive.lua"
    "02-pcall/sort-and-gsub.lua"
    "02-pcall/value-after.lua"
    "03-xpcall/endless-handler.lua"
    "03-xpcall/failing-handler.lua"
    "03-xpcall/handler-recursion.lua"
    "04-coroutine/many.lua"
    "04-coroutine/wrap.lua"
    "04-coroutine/yield-across-pcall.lua"
    "04-coroutine/yield-from-sort.lua"
    "05-hot-loop/fastcalls.lua"
    "05-hot-loop/trace.lua"
    "06-pattern/captures.lua"
    "06-pattern/deep.lua"
    "06-pattern/exponential.lua"
    "06-pattern/gmatch.lua"
    "06-pattern/lazy.lua"
    "06-pattern/re-amplify.lua"
    "06-pattern/re-backreference.lua"
    "06-pattern/re-callback.lua"
    "06-pattern/re-huge.lua"
    "06-pattern/re-lookahead.lua"
    "06-pattern/re-many.lua"
    "06-pattern/re-nested.lua"
    "06-pattern/re-nesting.lua"
    "07-one-call/concat.lua"
    "07-one-call/format-width.lua"
    "07-one-call/gsub.lua"
    "07-one-call/rep.lua"
    "08-memory-loop/caught-twice.lua"
    "08-memory-loop/caught.lua"
    "08-memory-loop/coroutine.lua"
    "08-memory-loop/doubling.lua"
    "08-memory-loop/nearly-full.lua"
    "08-memory-loop/table.lua"
    "09-preallocate/new.lua"
    "10-unpack/nan.lua"
    "10-unpack/negative.lua"
    "10-unpack/overflow.lua"
    "10-unpack/range.lua"
    "11-recursion/coroutines.lua"
    "11-recursion/deep-results.lua"
    "11-recursion/gsub-callback.lua"
    "11-recursion/inspect.lua"
    "11-recursion/lua.lua"
    "11-recursion/sort.lua"
    "11-recursion/xpcall.lua"
    "12-sort/always-true.lua"
    "12-sort/endless.lua"
    "13-string-metatable/getmetatable.lua"
    "13-string-metatable/index-in-header-table.lua"
    "13-string-metatable/remove.lua"
    "13-string-metatable/replace-method.lua"
    "13-string-metatable/through-local.lua"
    "14-methods/dump.lua"
    "14-methods/rep-absent.lua"
    "14-methods/rep-method.lua"
    "15-shared-tables/cjson-options.lua"
    "15-shared-tables/cjson.lua"
    "15-shared-tables/clear.lua"
    "15-shared-tables/deep-merge.lua"
    "15-shared-tables/g.lua"
    "15-shared-tables/insert.lua"
    "15-shared-tables/kong-request.lua"
    "15-shared-tables/kong.lua"
    "15-shared-tables/move.lua"
    "15-shared-tables/ngx-re.lua"
    "15-shared-tables/ngx.lua"
    "15-shared-tables/sort.lua"
    "16-state/cache-flood.lua"
    "16-state/cache-function.lua"
    "16-state/coroutine-kept.lua"
    "16-state/function-in-shared.lua"
    "16-state/globals.lua"
    "16-state/plugin.lua"
    "16-state/same-snippet.lua"
    "16-state/shared.lua"
    "17-bytecode/dump.lua"
    "17-bytecode/loadstring.lua"
    "17-bytecode/source.lua"
    "18-debug/getfenv.lua"
    "18-debug/rawequal.lua"
    "18-debug/rawget.lua"
    "18-debug/rawlen.lua"
    "18-debug/rawset.lua"
    "18-debug/registry.lua"
    "18-debug/setmetatable.lua"
    "18-debug/typeof.lua"
    "19-package/cmsgpack.lua"
    "19-package/ffi.lua"
    "19-package/global.lua"
    "19-package/loadlib.lua"
    "19-package/not-a-name.lua"
    "19-package/struct-unpack.lua"
    "19-package/struct.lua"
    "20-finalizers/collect.lua"
    "20-finalizers/newproxy.lua"
    "20-finalizers/setmetatable.lua"
    "21-metamethods/cjson-cycle.lua"
    "21-metamethods/cjson-decode-deep.lua"
    "21-metamethods/cjson-deep.lua"
    "21-metamethods/cjson-huge.lua"
    "21-metamethods/cycle.lua"
    "21-metamethods/deep.lua"
    "21-metamethods/header-table.lua"
    "21-metamethods/unfolding.lua"
    "22-bad-values/boolean-key.lua"
    "22-bad-values/function.lua"
    "22-bad-values/nan.lua"
    "22-bad-values/sparse.lua"
    "22-bad-values/tohex.lua"
    "23-addresses/format.lua"
    "23-addresses/tostring.lua"
    "24-os/date-format.lua"
    "24-os/date-range.lua"
    "24-os/execute.lua"
    "24-os/exit.lua"
    "24-os/getenv.lua"
    "24-os/io-open.lua"
    "24-os/names.lua"
    "25-log/flood.lua"
    "25-log/injection.lua"
    "25-log/inspect-flood.lua"
    "26-error-objects/deep.lua"
    "26-error-objects/table.lua"
    "27-host-panic/bytes.lua"
    "27-host-panic/numbers.lua"
    "27-host-panic/odd-arguments.lua"
    "28-reach/aliased.lua"
    "28-reach/exit.lua"
    "28-reach/kong-db.lua"
    "28-reach/kong-vault.lua"
    "28-reach/location.lua"
    "28-reach/shared.lua"
    "28-reach/socket.lua"
    "28-reach/thread.lua"
    "28-reach/timer.lua"
    "29-injection/authorization.lua"
    "30-amplification/edits.lua"
    "30-amplification/long-key.lua"
    "30-amplification/to-string.lua"
    "31-compile/blocks.lua"
    "31-compile/chunk-name.lua"
    "31-compile/debugger.lua"
    "31-compile/empty-upvalue.lua"
    "31-compile/large.lua"
    "31-compile/long-string.lua"
    "31-compile/parentheses.lua"
    "31-compile/vararg.lua"
    "32-everything/interpolation.lua"
    "32-everything/iter.lua"
    "32-everything/luau-bit32.lua"
    "32-everything/luau-buffer.lua"
    "32-everything/luau-coroutine-close.lua"
    "32-everything/luau-debug-info.lua"
    "32-everything/luau-math-clamp.lua"
    "32-everything/luau-math-round.lua"
    "32-everything/luau-string-unpack.lua"
    "32-everything/luau-table-freeze.lua"
    "32-everything/luau-task.lua"
    "32-everything/luau-utf8.lua"
    "32-everything/luau-vector.lua"
    "32-everything/names.lua"
    "32-everything/native.lua"
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::SCRIPTS;
    use crate::cli::sandbox::{collect, script};

    /// Scenario: the list of built-in scripts, and the files in the folder.
    /// Guarantees: they match, in order; the header of each script has the attack, its class and an expectation; no class
    /// is without a script.
    #[test]
    fn the_list_is_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox");
        let mut files = Vec::new();
        collect(&folder, &mut files).unwrap();
        let files: Vec<_> = files.iter().map(|file| file.strip_prefix(&folder).unwrap().to_str().unwrap()).collect();
        let listed: Vec<_> = SCRIPTS.iter().map(|(path, _)| *path).collect();
        assert_eq!(listed, files);
        let mut classes = Vec::new();
        for (path, text) in SCRIPTS {
            let script = script::parse(path, text).unwrap();
            assert!(script.attack.is_some() && !script.expect.is_empty(), "{path}");
            assert!(text.lines().any(|line| line.starts_with("-- why: ")), "{path}");
            let class = script.class.unwrap_or_else(|| panic!("{path} names no class"));
            assert_eq!(path[..2].parse(), Ok(class), "{path}");
            classes.push(class);
        }
        classes.dedup();
        assert_eq!(classes, (1..=classes.len() as u32).collect::<Vec<_>>(), "a class without a script");
    }
}
