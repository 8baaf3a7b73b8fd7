-- attack: Luau's own string-unpack
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return string.unpack('z', 'x')
