-- attack: requires C libraries with known flaws
-- why: only listed modules can be required
-- class: 19
-- cve: CVE-2018-11218
-- expect: error "not allowed within sandbox"

return require('cmsgpack') or require('struct')
