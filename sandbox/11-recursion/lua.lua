-- attack: recursion without end
-- why: the depth of calls is bounded
-- class: 11
-- expect: error "stack overflow"
-- expect: stopped
-- expect: limited

local function f() return 1 + f() end
return f()
