-- attack: ends the request
-- why: the response is long gone
-- class: 28
-- expect: error "ngx.exit"

ngx.exit(500)
