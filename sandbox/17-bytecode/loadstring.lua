-- attack: loads bytecode by its other name
-- why: loadstring is not there
-- class: 17
-- cve: CVE-2018-1999023
-- expect: error "attempt to call a nil value"

return loadstring(('x'):gsub('x', '\27Lua'))()
