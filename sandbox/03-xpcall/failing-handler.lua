-- attack: a handler that fails, in a loop
-- why: the same
-- class: 3
-- expect: stopped

while true do xpcall(error, function() error('x') end) end
