-- attack: a finalizer on a table
-- why: setmetatable is not there, not as an instruction of the compiler either
-- class: 20
-- expect: error "attempt to call a nil value"

setmetatable({}, {__gc = function() while true do end end})
