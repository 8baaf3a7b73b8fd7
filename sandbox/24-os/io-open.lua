-- attack: opens a file
-- why: io contains only type
-- class: 24
-- expect: error "attempt to call a nil value"

return io.open('/etc/passwd')
