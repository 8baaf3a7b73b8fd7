-- attack: a value that is returned long after the time is over, without any loop
-- why: the clock is read when a call ends
-- class: 34
-- expect: stopped
-- expect: limited

local s = 'x' for i = 1, 21 do s = s .. s end
return #(s:upper():lower():reverse():upper():lower():reverse():upper():lower():reverse():upper():lower():reverse())
