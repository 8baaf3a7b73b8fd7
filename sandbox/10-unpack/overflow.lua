-- attack: a range whose length overflows an integer
-- why: the range is computed in floating point and limited
-- class: 10
-- cve: CVE-2025-46817
-- expect: error "too many results to unpack"

return unpack({}, -2^31, 2^31 - 1)
