-- attack: the metatable of strings
-- why: getmetatable is not there
-- class: 13
-- cve: CVE-2025-46818
-- expect: error "nil value"

getmetatable('').__index = {}
