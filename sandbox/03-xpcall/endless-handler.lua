-- attack: an error handler that never ends
-- why: handlers are interrupted as everything else
-- class: 3
-- expect: stopped

xpcall(function() while true do end end, function() while true do end end)
