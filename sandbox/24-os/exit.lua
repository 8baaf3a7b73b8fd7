-- attack: ends the process
-- why: os.exit is not there
-- class: 24
-- expect: error "attempt to call a nil value"

os.exit(1)
