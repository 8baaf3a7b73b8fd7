-- attack: a metatable that the host made
-- why: it is not to be had
-- class: 13
-- expect: error "attempt to call a nil value"

return getmetatable(kong.request.get_headers())
