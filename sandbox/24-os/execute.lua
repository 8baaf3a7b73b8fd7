-- attack: runs a program
-- why: os.execute is absent
-- class: 24
-- expect: error "attempt to call"

return os.execute('id')
