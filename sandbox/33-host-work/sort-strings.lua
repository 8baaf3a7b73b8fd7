-- attack: a sort of nearly 10,000 long strings without a comparator
-- why: long strings are compared in Lua, which is interrupted
-- class: 33
-- expect: stopped
-- expect: limited

local s = 'x' for i = 1, 19 do s = s .. s end
local a, b, t = s .. 'a', s .. 'b', {}
for i = 1, 9999 do t[i] = i % 2 == 0 and a or b end
table.sort(t)
