-- attack: errors that are caught, without end
-- why: the search for the name in an error is interrupted
-- class: 33
-- expect: stopped

local t
while true do pcall(function() return t.x.y.z end) end
