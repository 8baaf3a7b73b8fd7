-- attack: takes string.find away
-- why: libraries are frozen
-- class: 13
-- expect: error "readonly"

string.find = nil
