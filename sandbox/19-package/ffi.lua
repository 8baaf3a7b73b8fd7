-- attack: requires ffi
-- why: require loads only listed modules
-- class: 19
-- expect: error "not allowed within sandbox"

return require('ffi')
