-- attack: the memory that workers share
-- why: there is none
-- class: 28
-- expect: error "ngx.shared.kong is not available"

return ngx.shared.kong:get('secret')
