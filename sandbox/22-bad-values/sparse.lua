-- attack: an array with one element far out
-- why: sparse arrays are refused
-- class: 22
-- expect: error "sparse array"

return {[2 ^ 30] = 1}
