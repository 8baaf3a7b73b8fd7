-- attack: Luau's own vector
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return vector.create(1, 2, 3)
