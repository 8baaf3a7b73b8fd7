-- attack: ends the request
-- why: ngx.exit is unavailable in the log phase
-- class: 28
-- expect: error "API disabled in the context of log_by_lua"

ngx.exit(500)
