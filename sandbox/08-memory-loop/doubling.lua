-- attack: doubles a string without end
-- why: memory is limited, and the stop stays set
-- class: 8
-- expect: limited
-- expect: stopped

local s = 'x'
while true do s = s .. s end
