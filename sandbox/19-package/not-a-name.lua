-- attack: passes require a value that is not a string
-- why: require loads only listed modules
-- class: 19
-- expect: error "not allowed within sandbox"

return require({})
