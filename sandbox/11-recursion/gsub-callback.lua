-- attack: recursion through a callback of gsub
-- why: the depth of C calls is bounded
-- class: 11
-- expect: error "overflow"
-- expect: stopped
-- expect: limited

local function f() return (('x'):gsub('.', f)) end
return f()
