-- attack: a range that ends at NaN
-- why: the range is computed in floating point and limited
-- class: 10
-- expect: error "too many results"

return unpack({}, 1, 0 / 0)
