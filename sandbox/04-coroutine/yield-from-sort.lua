-- attack: yields out of a host function
-- why: yielding from a callback of a host function raises an error
-- class: 4
-- expect: error "yield"

local c = coroutine.wrap(function() table.sort({2, 1}, function() coroutine.yield() end) end)
c()
