-- attack: ngx.md5 of a long text, thousands of times
-- why: the real clock is read after so many bytes of work
-- class: 33
-- expect: stopped
-- expect: limited

local s = 'x' for i = 1, 19 do s = s .. s end
local a, b, t = s .. 'a', s .. 'b', {}
for i = 1, 9999 do t[i] = i % 2 == 0 and a or b end
for _, x in ipairs(t) do ngx.md5(x) end
