-- attack: a wrapped function by way of a method
-- why: the method is the wrapped one
-- class: 14
-- expect: error "larger than"

return #('x'):rep(1e9)
