-- attack: returns NaN
-- why: it is an error of the field
-- class: 22
-- expect: error "NaN"

return 0 / 0
