-- attack: clears a library table
-- why: library tables are frozen
-- class: 15
-- expect: error "readonly"

table.clear(string)
