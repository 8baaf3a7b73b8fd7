-- attack: two functions that call each other without end
-- why: calls are interrupted, and the call depth is limited
-- class: 1
-- expect: error "stack overflow"
-- expect: stopped

local g
local function f() return 1 + g() end
function g() return 1 + f() end
return f()
