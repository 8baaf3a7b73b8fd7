-- attack: returns a table that holds itself
-- why: cycles are found
-- class: 21
-- cve: redis#11032
-- expect: error "self-referencial"

local t = {}
t.t = t
return t
