-- attack: loads bytecode with loadstring
-- why: loadstring is absent
-- class: 17
-- cve: CVE-2018-1999023
-- expect: error "attempt to call"

return loadstring(('x'):gsub('x', '\27Lua'))()
