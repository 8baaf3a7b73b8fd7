-- attack: triggers garbage collection while a chunk name is in use
-- why: nothing is compiled while scripts run
-- class: 31
-- cve: CVE-2025-49844
-- expect: error "attempt to call"

for i = 1, 1e3 do loadstring(('x'):gsub('x', 'y'))() end
