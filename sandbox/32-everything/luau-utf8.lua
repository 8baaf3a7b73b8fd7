-- attack: calls Luau's utf8
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return utf8.char(65)
