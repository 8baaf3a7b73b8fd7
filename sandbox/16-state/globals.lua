-- attack: a global for the next request
-- why: globals are forgotten after each run
-- class: 16
-- expect: value "nil"

leaked = 'secret'
---- next run
return type(leaked)
