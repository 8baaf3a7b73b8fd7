-- attack: reads a metatable that the host created
-- why: getmetatable is absent
-- class: 13
-- expect: error "attempt to call"

return getmetatable(kong.request.get_headers())
