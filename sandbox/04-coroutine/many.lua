-- attack: starts endless coroutines one after another
-- why: the stop stays set, so every later coroutine is stopped too
-- class: 4
-- expect: stopped

while true do coroutine.resume(coroutine.create(function() while true do end end)) end
