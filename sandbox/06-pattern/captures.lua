-- attack: a pattern whose captures backtrack
-- why: long texts are searched in linear time, and pattern matching is interrupted
-- class: 6
-- expect: value nil
-- expect: stopped

local s = 'a'
for i = 1, 14 do s = s .. s end
return s:match('^(a*)a*(a*)a*(a*)a*b$')
