-- attack: deeply nested blocks
-- why: the nesting depth is limited
-- class: 31
-- repeat: "do " 5000
-- expect: error "nested deeper"

@1@
