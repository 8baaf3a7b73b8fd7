-- attack: calls Luau's math.clamp
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return math.clamp(5, 1, 2)
