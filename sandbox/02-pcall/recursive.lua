-- attack: catches it at every level of a recursion
-- why: the same
-- class: 2
-- expect: stopped

local function f() return pcall(f) end
while true do f() end
