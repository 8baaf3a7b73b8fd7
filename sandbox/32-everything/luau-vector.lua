-- attack: calls Luau's vector
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return vector.create(1, 2, 3)
