-- attack: Luau's own table-freeze
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return table.freeze(kong)
