-- attack: Luau's own math-round
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return math.round(1.5)
