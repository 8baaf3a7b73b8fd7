-- attack: fills a table without end
-- why: memory is limited, and the stop stays set
-- class: 8
-- expect: limited
-- expect: stopped

local t = {}
while true do t[#t + 1] = {} end
