-- attack: writes by table.move
-- why: libraries are frozen
-- class: 15
-- expect: error "readonly"

table.move({1}, 1, 1, 1, math)
