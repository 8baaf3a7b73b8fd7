-- attack: calls package.loadlib
-- why: package is absent
-- class: 19
-- cve: CVE-2022-0543
-- expect: error "nil"

return package.loadlib('libc.so.6', 'system')
