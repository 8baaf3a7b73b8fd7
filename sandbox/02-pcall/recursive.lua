-- attack: catches the stop at every level of a recursion
-- why: the stop is raised again at every call until the script ends
-- class: 2
-- expect: stopped

local function f() return pcall(f) end
while true do f() end
