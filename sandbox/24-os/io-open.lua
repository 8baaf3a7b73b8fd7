-- attack: opens a file
-- why: io contains only type
-- class: 24
-- expect: error "attempt to call"

return io.open('/etc/passwd')
