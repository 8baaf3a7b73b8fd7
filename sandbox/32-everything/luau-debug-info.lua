-- attack: calls Luau's debug.info
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return debug.info(1, 's')
