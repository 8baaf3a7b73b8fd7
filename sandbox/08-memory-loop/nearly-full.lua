-- attack: fills memory to just below the limit, then loops
-- why: the memory is freed before the next transaction
-- class: 8
-- expect: stopped
-- expect: limited

local keep = {}
for i = 1, 13 do keep[i] = ('x'):rep(2^20) end
while true do end
