-- attack: reads an address with %p
-- why: %p is not supported
-- class: 23
-- expect: error "invalid"

return string.format('%p', {})
