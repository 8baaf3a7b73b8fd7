-- attack: requires a C library with a published memory corruption
-- why: require loads only listed modules, and this one is not listed
-- class: 19
-- cve: CVE-2018-11218
-- expect: error "require 'cmsgpack' not allowed within sandbox"

return require('cmsgpack').pack({})
