-- attack: typeof, which the compiler knows as an instruction
-- why: it is compiled as the call that it is, of nil
-- class: 18
-- expect: error "attempt to call a nil value"

return typeof(1)
