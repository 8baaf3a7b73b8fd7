-- attack: sets a long value, thousands of times
-- why: each value asks the deadline by its bytes
-- class: 33
-- expect: stopped
-- expect: limited

local s = 'x' for i = 1, 19 do s = s .. s end
local a, b, t = s .. 'a', s .. 'b', {}
for i = 1, 9999 do t[i] = i % 2 == 0 and a or b end
for _, x in ipairs(t) do kong.log.set_serialize_value('v', x) end
