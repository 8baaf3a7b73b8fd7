-- attack: adds a member to ngx
-- why: ngx is frozen
-- class: 15
-- expect: error "readonly"

ngx.evil = 1
