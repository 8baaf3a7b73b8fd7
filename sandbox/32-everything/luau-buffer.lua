-- attack: calls Luau's buffer
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return buffer.create(8)
