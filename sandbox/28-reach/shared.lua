-- attack: reads the memory shared by workers
-- why: ngx.shared is unavailable
-- class: 28
-- expect: error "ngx.shared.kong is not available"

return ngx.shared.kong:get('secret')
