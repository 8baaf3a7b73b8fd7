-- attack: yields out of a host call
-- why: that is an error, not a hang
-- class: 4
-- expect: error "yield"

local c = coroutine.wrap(function() table.sort({2, 1}, function() coroutine.yield() end) end)
c()
