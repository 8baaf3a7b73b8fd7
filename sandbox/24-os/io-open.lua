-- attack: opens a file
-- why: io has type and nothing else
-- class: 24
-- expect: error "attempt to call a nil value"

return io.open('/etc/passwd')
