-- attack: fills the memory to just below its limit and loops
-- why: the next transaction finds room all the same
-- class: 8
-- expect: stopped
-- expect: limited

local keep = {}
for i = 1, 13 do keep[i] = ('x'):rep(2^20) end
while true do end
