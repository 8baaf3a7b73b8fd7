-- attack: Luau's own debug-info
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return debug.info(1, 's')
