-- attack: endless coroutines, one after another
-- why: the stop stays
-- class: 4
-- expect: stopped

while true do coroutine.resume(coroutine.create(function() while true do end end)) end
