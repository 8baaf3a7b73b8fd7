-- attack: a finalizer that runs after the deadline
-- why: newproxy is absent
-- class: 20
-- expect: error "attempt to call"

local p = newproxy(true)
