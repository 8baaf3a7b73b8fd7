-- attack: an error handler that never returns
-- why: the VM interrupts error handlers like other code
-- class: 3
-- expect: stopped

xpcall(function() while true do end end, function() while true do end end)
