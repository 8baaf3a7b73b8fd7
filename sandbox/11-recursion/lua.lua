-- attack: endless recursion
-- why: the call depth is limited
-- class: 11
-- expect: error "stack overflow"
-- expect: stopped
-- expect: limited

local function f() return 1 + f() end
return f()
