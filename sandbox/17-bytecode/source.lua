-- attack: loads bytecode at run time
-- why: load is absent
-- class: 17
-- cve: CVE-2015-4335
-- expect: error "attempt to call"

return load('\27Lua')()
