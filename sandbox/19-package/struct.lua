-- attack: requires C libraries with published flaws
-- why: require loads only listed modules
-- class: 19
-- cve: CVE-2018-11218
-- expect: error "not allowed within sandbox"

return require('cmsgpack') or require('struct')
