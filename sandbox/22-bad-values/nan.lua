-- attack: returns NaN
-- why: the field reports an error
-- class: 22
-- expect: error "NaN"

return 0 / 0
