-- attack: calls Luau's math.round
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return math.round(1.5)
