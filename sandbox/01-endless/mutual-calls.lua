-- attack: functions that call each other for ever
-- why: calls are interrupted, and their depth is bounded
-- class: 1
-- expect: error "stack overflow"
-- expect: stopped

local g
local function f() return 1 + g() end
function g() return 1 + f() end
return f()
