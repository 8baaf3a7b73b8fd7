-- attack: captures that back-track
-- why: the same
-- class: 6
-- expect: stopped

local s = 'a'
for i = 1, 14 do s = s .. s end
return s:match('^(a*)a*(a*)a*(a*)a*b$')
