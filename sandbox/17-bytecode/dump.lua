-- attack: reads the bytecode of a function
-- why: string.dump is absent
-- class: 17
-- expect: error "attempt to call"

return string.dump(function() end)
