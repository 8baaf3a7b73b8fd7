-- attack: starts a light thread
-- why: light threads are unavailable
-- class: 28
-- expect: error "ngx.thread.spawn is not available"

return ngx.thread.spawn(print)
