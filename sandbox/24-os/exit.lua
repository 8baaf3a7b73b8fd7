-- attack: ends the process
-- why: os.exit is absent
-- class: 24
-- expect: error "attempt to call a nil value"

os.exit(1)
