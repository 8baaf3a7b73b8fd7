-- attack: ends the request
-- why: ngx.exit is unavailable in the log phase
-- class: 28
-- expect: error "ngx.exit"

ngx.exit(500)
