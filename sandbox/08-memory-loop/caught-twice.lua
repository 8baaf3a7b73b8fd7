-- attack: catches the memory error and continues to allocate
-- why: a script that exceeds the memory limit is stopped
-- class: 8
-- expect: limited
-- expect: stopped

local keep = {}
while true do pcall(function() while true do keep[#keep + 1] = {keep} end end) end
