-- attack: calls a limited function as a method
-- why: the method is the limited function
-- class: 14
-- expect: error "larger than"

return #('x'):rep(1e9)
