-- attack: the metatable of strings
-- why: getmetatable is not there, not as an instruction of the compiler either
-- class: 13
-- cve: CVE-2025-46818
-- expect: error "attempt to call a nil value"

getmetatable('').__index = {}
