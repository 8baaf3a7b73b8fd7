-- attack: requires a C library whose sizes overflow
-- why: require loads only listed modules, and this one is not listed
-- class: 19
-- cve: CVE-2018-11219
-- expect: error "require 'struct' not allowed within sandbox"

return require('struct').unpack('>I2147483648', 'x')
