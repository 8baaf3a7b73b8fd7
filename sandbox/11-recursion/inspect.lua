-- attack: a deep table for the log
-- why: what is printed has a bound
-- class: 11
-- expect: value true

local t = {}
for i = 1, 1e4 do t = {t} end
kong.log.inspect(t)
return true
