-- attack: encodes a deeply nested table with cjson
-- why: the nesting depth is limited
-- class: 21
-- cve: CVE-2022-24834
-- expect: error "excessive nesting"

local t = {}
for i = 1, 1e5 do t = {t} end
return require('cjson').encode(t)
