-- attack: Luau's own math-clamp
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return math.clamp(5, 1, 2)
