-- attack: a table that holds itself, for cjson
-- why: the depth is counted
-- class: 21
-- expect: error "excessive nesting"

local t = {}
t.t = t
return require('cjson').encode(t)
