-- attack: calls Luau's string.unpack
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return string.unpack('z', 'x')
