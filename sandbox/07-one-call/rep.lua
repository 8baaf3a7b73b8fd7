-- attack: one huge string.rep
-- why: its result is bounded
-- class: 7
-- expect: error "larger than"

return #string.rep('x', 1e9)
