-- attack: table.concat of one long string many times
-- why: memory is limited
-- class: 7
-- expect: limited
-- expect: stopped

local s = ('x'):rep(2 ^ 20)
local t = {}
for i = 1, 1000 do t[i] = s end
return #table.concat(t)
