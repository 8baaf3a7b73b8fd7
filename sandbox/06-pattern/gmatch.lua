-- attack: a backtracking pattern in gmatch
-- why: pattern matching is interrupted
-- class: 6
-- expect: stopped

local s = 'a'
for i = 1, 14 do s = s .. s end
for _ in s:gmatch('.-.-.-.-b') do end
