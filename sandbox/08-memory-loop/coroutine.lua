-- attack: catches the refusal of memory in a coroutine
-- why: once refused, the script is stopped
-- class: 8
-- expect: limited
-- expect: stopped

local keep = {}
while true do coroutine.resume(coroutine.create(function() while true do keep[#keep + 1] = {keep} end end)) end
