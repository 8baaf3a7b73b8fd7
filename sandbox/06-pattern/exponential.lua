-- attack: a pattern of exponential cost
-- why: long texts are searched in linear time, and pattern matching is interrupted
-- class: 6
-- cve: CVE-2022-36021
-- expect: value nil
-- expect: stopped

local s = 'a'
for i = 1, 14 do s = s .. s end
return s:match(('a-'):rep(20) .. 'b')
