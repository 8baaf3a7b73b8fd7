-- attack: addresses through %p
-- why: there is no such format
-- class: 23
-- expect: error "invalid"

return string.format('%p', {})
