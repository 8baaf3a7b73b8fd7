-- attack: a snippet that is bytecode
-- why: bytecode is refused
-- class: 17
-- cve: CVE-2015-4335
-- expect: error "wrong mode"
-- expect: error "Expected"
-- expect: error ""

return load('\27Lua')
