-- attack: asks require for what is no name
-- why: only names of the list are given
-- class: 19
-- expect: error "not allowed within sandbox"

return require({})
