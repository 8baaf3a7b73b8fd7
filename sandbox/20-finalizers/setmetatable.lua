-- attack: a finalizer on a table
-- why: setmetatable is absent, and the compiler emits no instruction for it
-- class: 20
-- expect: error "attempt to call"

setmetatable({}, {__gc = function() while true do end end})
