-- attack: a range whose length overflows
-- why: the same
-- class: 10
-- cve: CVE-2025-46817
-- expect: error "too many results"

return unpack({}, -2 ^ 31, 2 ^ 31 - 1)
