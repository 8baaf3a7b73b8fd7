-- attack: Luau's own bit32
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return bit32.band(7, 2)
