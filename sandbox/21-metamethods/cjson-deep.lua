-- attack: a table deeper than any stack, for cjson
-- why: the depth is counted
-- class: 21
-- cve: CVE-2022-24834
-- expect: error "excessive nesting"

local t = {}
for i = 1, 1e5 do t = {t} end
return require('cjson').encode(t)
