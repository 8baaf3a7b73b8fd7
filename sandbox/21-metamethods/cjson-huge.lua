-- attack: encodes with cjson a table that expands to a huge text
-- why: the deadline and the memory limit apply to the encoder
-- class: 21
-- cve: CVE-2022-24834
-- expect: stopped
-- expect: limited
-- expect: error "larger"
-- expect: error "longer"

local t = {1, 2, 3}
for i = 1, 40 do t = {t, t} end
return require('cjson').encode(t)
