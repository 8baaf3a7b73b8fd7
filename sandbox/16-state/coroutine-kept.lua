-- attack: keeps a coroutine for the next transaction
-- why: kong.ctx is discarded with its transaction
-- class: 16
-- expect: value true

kong.ctx.shared.c = coroutine.wrap(function() while true do coroutine.yield(1) end end)
return kong.ctx.shared.c()
---- next run
return kong.ctx.shared.c == nil
