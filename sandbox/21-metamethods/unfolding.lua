-- attack: a small table that expands to a huge value
-- why: nodes and bytes are counted while the value is written
-- class: 21
-- cve: CVE-2022-24834
-- expect: limited
-- expect: stopped

local t = {1}
for i = 1, 30 do t = {t, t} end
return t
