-- attack: returns a table that contains itself
-- why: cycles are detected
-- class: 21
-- cve: redis#11032
-- expect: error "self-referencial"

local t = {}
t.t = t
return t
