-- attack: writes to a library with table.move
-- why: library tables are frozen
-- class: 15
-- expect: error "readonly"

table.move({1}, 1, 1, 1, math)
