-- attack: runs a program
-- why: os.execute is absent
-- class: 24
-- expect: error "attempt to call a nil value"

return os.execute('id')
