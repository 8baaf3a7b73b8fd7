-- attack: leaves a global for the next request
-- why: globals are discarded after each run
-- class: 16
-- expect: value "nil"

leaked = 'secret'
---- next run
return type(leaked)
