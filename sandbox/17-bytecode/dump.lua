-- attack: string.dump
-- why: it is not there
-- class: 17
-- cve: CVE-2018-1999023
-- expect: error "nil value"

return string.dump(function() end)
