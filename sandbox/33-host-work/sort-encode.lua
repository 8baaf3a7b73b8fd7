-- attack: ngx.encode_base64 as the comparator of a sort of long strings
-- why: a host function asks the deadline at each call
-- class: 33
-- expect: stopped
-- expect: limited

local s = 'x' for i = 1, 19 do s = s .. s end
local a, b, t = s .. 'a', s .. 'b', {}
for i = 1, 9999 do t[i] = i % 2 == 0 and a or b end
table.sort(t, ngx.encode_base64)
