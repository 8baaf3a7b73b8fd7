-- attack: recursion through a comparator
-- why: the same
-- class: 11
-- expect: error "overflow"
-- expect: stopped
-- expect: limited

local function f() table.sort({2, 1}, f) return true end
return f()
