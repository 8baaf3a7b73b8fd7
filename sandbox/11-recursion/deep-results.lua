-- attack: returns more results than a stack holds
-- why: the results of unpack and the stack size are limited
-- class: 11
-- cve: CVE-2021-32626
-- expect: error "too many results"
-- expect: error "stack overflow"

local t = {}
for i = 1, 8000 do t[i] = i end
return unpack(t)
