-- attack: an error handler that fails, in a loop
-- why: the VM interrupts error handlers like other code
-- class: 3
-- expect: stopped

while true do xpcall(error, function() error('x') end) end
