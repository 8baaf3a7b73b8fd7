-- attack: fills a table
-- why: the same
-- class: 8
-- expect: limited
-- expect: stopped

local t = {}
while true do t[#t + 1] = {} end
