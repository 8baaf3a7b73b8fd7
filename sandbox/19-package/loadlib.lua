-- attack: package.loadlib
-- why: package is not there
-- class: 19
-- cve: CVE-2022-0543
-- expect: error "nil"

return package.loadlib('libc.so.6', 'system')
