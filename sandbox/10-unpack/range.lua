-- attack: unpacks two thousand million values
-- why: the number of values is limited
-- class: 10
-- cve: CVE-2025-46817
-- expect: error "too many results"

return unpack({}, 1, 2 ^ 31 - 1)
