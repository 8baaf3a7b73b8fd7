-- attack: reads the metatable of strings
-- why: getmetatable is absent, and the compiler emits no instruction for it
-- class: 13
-- cve: CVE-2025-46818
-- expect: error "attempt to call"

getmetatable('').__index = {}
