-- attack: returns an array with one element at a huge index
-- why: sparse arrays are rejected
-- class: 22
-- expect: error "sparse array"

return {[2 ^ 30] = 1}
