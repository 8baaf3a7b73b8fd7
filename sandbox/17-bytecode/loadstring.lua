-- attack: loadstring of generated code
-- why: it is not there
-- class: 17
-- cve: CVE-2025-49844
-- expect: error "nil value"

return loadstring('return 1')()
