-- attack: code that runs beside
-- why: there are no light threads
-- class: 28
-- expect: error "ngx.thread.spawn is not available"

return ngx.thread.spawn(print)
