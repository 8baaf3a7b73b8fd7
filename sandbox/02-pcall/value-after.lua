-- attack: catches the stop and returns a value
-- why: a call that was out of time gives no value, whatever it returns
-- class: 2
-- expect: stopped

pcall(function() while true do end end)
return 'I am still here'
