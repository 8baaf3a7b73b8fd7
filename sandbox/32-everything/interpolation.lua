-- attack: code in a text
-- why: an interpolated text calls what a call could call, no more
-- class: 32
-- expect: error "nil value"

return `{load('return 1')()}`
