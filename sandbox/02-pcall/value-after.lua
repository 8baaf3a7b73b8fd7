-- attack: catches the stop and returns a value
-- why: the result of a call that passed its deadline is discarded
-- class: 2
-- expect: stopped

pcall(function() while true do end end)
return 'I am still here'
