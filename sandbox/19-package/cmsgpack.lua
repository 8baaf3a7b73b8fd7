-- attack: a C library that has corrupted memory
-- why: nobody offers it
-- class: 19
-- cve: CVE-2018-11218
-- expect: error "require 'cmsgpack' not allowed within sandbox"

return require('cmsgpack').pack({})
