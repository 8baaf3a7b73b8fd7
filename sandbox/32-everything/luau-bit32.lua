-- attack: calls Luau's bit32
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return bit32.band(7, 2)
