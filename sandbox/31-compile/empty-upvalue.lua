-- attack: code that made a parser dereference a null pointer
-- why: the Luau compiler is unaffected and reports the error
-- class: 31
-- cve: CVE-2022-24736
-- expect: error "Incomplete statement"

local function f() goto a ::a:: local x <close> = nil end
