-- attack: runs code inside an interpolated string
-- why: an interpolated string calls only functions that the environment has
-- class: 32
-- expect: error "nil value"

return `{load('return 1')()}`
