-- attack: decodes deeply nested JSON with cjson
-- why: the nesting depth is limited
-- class: 21
-- expect: error "nested"
-- expect: error "nesting"

return require('cjson').decode(('['):rep(1e6))
