-- attack: writes to _G
-- why: _G is frozen
-- class: 15
-- expect: error "readonly"

_G.evil = 1
