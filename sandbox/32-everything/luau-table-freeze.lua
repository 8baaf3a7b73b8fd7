-- attack: calls Luau's table.freeze
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return table.freeze(kong)
