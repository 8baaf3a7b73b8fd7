-- attack: logs a deeply nested table
-- why: the depth and size of inspected values are limited
-- class: 11
-- expect: value true

local t = {}
for i = 1, 1e4 do t = {t} end
kong.log.inspect(t)
return true
