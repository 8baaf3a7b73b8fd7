-- attack: the encoding of thousands of long arguments
-- why: the result is bounded, and each argument asks the deadline
-- class: 33
-- expect: stopped
-- expect: limited

local s = 'x' for i = 1, 19 do s = s .. s end
local a, b, t = s .. 'a', s .. 'b', {}
for i = 1, 9999 do t[i] = i % 2 == 0 and a or b end
return ngx.encode_args({a = t})
