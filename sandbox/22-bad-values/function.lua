-- attack: returns a function
-- why: the field reports an error
-- class: 22
-- expect: error "value must be nil"

return print
