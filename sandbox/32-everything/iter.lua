-- attack: a table that says how it is walked
-- why: there is no way to give a table such a thing
-- class: 32
-- expect: error "attempt to call a nil value"

for k in setmetatable({}, {__iter = function() return function() return 1 end end}) do end
