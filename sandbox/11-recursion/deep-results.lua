-- attack: more results than a stack holds
-- why: unpack is bounded, and so is the stack
-- class: 11
-- cve: CVE-2021-32626
-- expect: error "too many results"
-- expect: error "stack overflow"

local t = {}
for i = 1, 8000 do t[i] = i end
return unpack(t)
