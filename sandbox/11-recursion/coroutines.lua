-- attack: coroutines nested inside coroutines
-- why: the nesting depth of resumed coroutines is limited
-- class: 11
-- expect: error "stack overflow"
-- expect: error "overflow"
-- expect: stopped

local function f() return coroutine.wrap(f)() end
return f()
