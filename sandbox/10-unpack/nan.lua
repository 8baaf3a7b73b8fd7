-- attack: a range that ends at NaN
-- why: the same
-- class: 10
-- expect: error "too many results"

return unpack({}, 1, 0 / 0)
