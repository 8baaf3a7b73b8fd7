-- attack: coroutines within coroutines
-- why: resuming nests to a bound
-- class: 11
-- expect: error "stack overflow"
-- expect: error "overflow"
-- expect: stopped

local function f() return coroutine.wrap(f)() end
return f()
