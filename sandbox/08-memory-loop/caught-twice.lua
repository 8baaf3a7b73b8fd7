-- attack: catches the refusal of memory, and goes on
-- why: once refused, the script is stopped
-- class: 8
-- expect: limited
-- expect: stopped

local keep = {}
while true do pcall(function() while true do keep[#keep + 1] = {keep} end end) end
