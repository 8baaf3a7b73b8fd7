-- attack: an error that is a table
-- why: the host tells of its kind and asks it nothing
-- class: 26
-- expect: error "table"

error({code = 1})
