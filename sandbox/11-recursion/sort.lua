-- attack: recurses through a sort comparator
-- why: the depth of C calls is limited
-- class: 11
-- expect: error "overflow"
-- expect: stopped
-- expect: limited

local function f() table.sort({2, 1}, f) return true end
return f()
