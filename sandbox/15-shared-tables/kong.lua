-- attack: adds a member to kong
-- why: kong is frozen
-- class: 15
-- expect: error "readonly"

kong.evil = 1
