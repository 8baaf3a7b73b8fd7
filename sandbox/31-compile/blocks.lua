-- attack: blocks in blocks
-- why: nesting is bounded
-- class: 31
-- repeat: "do " 5000
-- expect: error "nested deeper"

@1@
