-- attack: a finalizer that runs after the deadline
-- why: newproxy is absent
-- class: 20
-- expect: error "attempt to call a nil value"

local p = newproxy(true)
