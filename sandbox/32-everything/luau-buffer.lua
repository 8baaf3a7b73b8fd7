-- attack: Luau's own buffer
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return buffer.create(8)
