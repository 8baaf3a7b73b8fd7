-- attack: one huge string.rep
-- why: the size of its result is limited
-- class: 7
-- expect: error "larger than"

return #string.rep('x', 1e9)
