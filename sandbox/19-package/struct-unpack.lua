-- attack: a C library whose sizes overflow
-- why: nobody offers it
-- class: 19
-- cve: CVE-2018-11219
-- expect: error "require 'struct' not allowed within sandbox"

return require('struct').unpack('>I2147483648', 'x')
