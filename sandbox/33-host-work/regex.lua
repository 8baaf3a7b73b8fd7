-- attack: a regular expression over a long text, thousands of times
-- why: the search asks the deadline
-- class: 33
-- expect: stopped
-- expect: limited

local s = 'x' for i = 1, 19 do s = s .. s end
local a, b, t = s .. 'a', s .. 'b', {}
for i = 1, 9999 do t[i] = i % 2 == 0 and a or b end
for _, x in ipairs(t) do ngx.re.find(x, 'a[^a]b') end
