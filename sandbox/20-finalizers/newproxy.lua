-- attack: a finalizer that runs after the deadline
-- why: newproxy is not there
-- class: 20
-- expect: error "attempt to call a nil value"

local p = newproxy(true)
