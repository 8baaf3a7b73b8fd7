-- attack: a table that unfolds to a huge text, for cjson
-- why: the deadline and the memory limit hold in it
-- class: 21
-- cve: CVE-2022-24834
-- expect: stopped
-- expect: limited
-- expect: error "larger"
-- expect: error "longer"

local t = {1, 2, 3}
for i = 1, 40 do t = {t, t} end
return require('cjson').encode(t)
