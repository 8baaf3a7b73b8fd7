-- attack: a range with a negative start whose length overflows
-- why: the range is computed in floating point and limited
-- class: 10
-- cve: CVE-2025-46817
-- expect: error "too many results"

return unpack({}, -2 ^ 31, 2 ^ 31 - 1)
