-- attack: a text deeper than any stack, for cjson
-- why: the depth is counted
-- class: 21
-- expect: error "nested"
-- expect: error "nesting"

return require('cjson').decode(('['):rep(1e6))
