-- attack: returns a table with a key that JSON cannot represent
-- why: the field reports an error
-- class: 22
-- expect: error "table key"

return {[true] = 1}
