-- attack: a loop of built-in calls only
-- why: the loop itself is interrupted
-- class: 5
-- expect: stopped

local floor = math.floor
while true do floor(1.5) end
