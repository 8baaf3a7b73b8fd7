-- attack: requires ffi
-- why: only listed modules can be required
-- class: 19
-- expect: error "not allowed within sandbox"

return require('ffi')
