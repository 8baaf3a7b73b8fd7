-- attack: loads bytecode at run time
-- why: load and its kin are not there
-- class: 17
-- cve: CVE-2015-4335
-- expect: error "attempt to call a nil value"

return load('\27Lua')()
