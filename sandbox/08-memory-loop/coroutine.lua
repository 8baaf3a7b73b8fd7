-- attack: catches the memory error inside a coroutine
-- why: a script that exceeds the memory limit is stopped
-- class: 8
-- expect: limited
-- expect: stopped

local keep = {}
while true do coroutine.resume(coroutine.create(function() while true do keep[#keep + 1] = {keep} end end)) end
