-- attack: rawequal, which the compiler can emit as an instruction
-- why: the compiler emits an ordinary call of an absent global
-- class: 18
-- expect: error "attempt to call"

return rawequal(1, 1)
