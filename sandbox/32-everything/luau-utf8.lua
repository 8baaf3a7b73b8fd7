-- attack: Luau's own utf8
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return utf8.char(65)
