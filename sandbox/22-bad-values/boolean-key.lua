-- attack: a key that JSON has not
-- why: it is an error of the field
-- class: 22
-- expect: error "table key"

return {[true] = 1}
