-- attack: returns a deeply nested table
-- why: the nesting depth is limited
-- class: 21
-- cve: CVE-2021-32626
-- expect: limited

local t = {}
for i = 1, 2000 do t = {t} end
return t
