-- attack: removes string.find
-- why: library tables are frozen
-- class: 13
-- expect: error "readonly"

string.find = nil
