-- attack: encodes a table that contains itself with cjson
-- why: the nesting depth is limited
-- class: 21
-- expect: error "excessive nesting"

local t = {}
t.t = t
return require('cjson').encode(t)
