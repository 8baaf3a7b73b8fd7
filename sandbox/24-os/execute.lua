-- attack: runs a program
-- why: os.execute is not there
-- class: 24
-- expect: error "attempt to call a nil value"

return os.execute('id')
