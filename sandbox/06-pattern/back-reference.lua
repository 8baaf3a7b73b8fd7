-- attack: a pattern that refers to a capture, which no linear search can match
-- why: pattern matching is interrupted
-- class: 6
-- expect: stopped

local s = 'a'
for i = 1, 14 do s = s .. s end
return s:match('^(a*)a*(a*)a*(a*)a*%1b$')
