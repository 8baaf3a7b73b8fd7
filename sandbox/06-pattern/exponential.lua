-- attack: a pattern of exponential cost
-- why: pattern matching is interrupted
-- class: 6
-- cve: CVE-2022-36021
-- expect: stopped

local s = 'a'
for i = 1, 14 do s = s .. s end
return s:match(('a-'):rep(20) .. 'b')
