-- attack: a table with its own iteration function
-- why: a script cannot set a metatable
-- class: 32
-- expect: error "attempt to call"

for k in setmetatable({}, {__iter = function() return function() return 1 end end}) do end
