-- attack: loads a shared library through the global package
-- why: package is absent
-- class: 19
-- cve: CVE-2022-0543
-- expect: error "nil"

return package.loadlib('/lib/x86_64-linux-gnu/liblua5.1.so.0', 'luaopen_io')()
