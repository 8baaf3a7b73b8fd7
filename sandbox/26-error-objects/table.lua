-- attack: raises a table as the error
-- why: the host reports its type and calls no metamethod
-- class: 26
-- expect: error "table"

error({code = 1})
