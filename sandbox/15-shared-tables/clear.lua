-- attack: clears a library
-- why: libraries are frozen
-- class: 15
-- expect: error "readonly"

table.clear(string)
