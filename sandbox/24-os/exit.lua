-- attack: ends the process
-- why: os.exit is absent
-- class: 24
-- expect: error "attempt to call"

os.exit(1)
