-- attack: reads the metatable of strings through a local variable
-- why: the compiler emits no call to a function that the environment lacks
-- class: 13
-- cve: CVE-2025-46818
-- expect: error "attempt to call"

local f = getmetatable
return f('').__index ~= nil
