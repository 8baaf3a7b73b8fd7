-- attack: doubles a string
-- why: memory is limited, and the stop stays
-- class: 8
-- expect: limited
-- expect: stopped

local s = 'x'
while true do s = s .. s end
