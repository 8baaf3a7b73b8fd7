-- attack: returns a function
-- why: it is an error of the field
-- class: 22
-- expect: error "value must be nil"

return print
