-- attack: replaces ngx.re.match
-- why: ngx and its members are frozen
-- class: 15
-- expect: error "readonly"

ngx.re.match = function() return {'evil'} end
