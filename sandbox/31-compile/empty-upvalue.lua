-- attack: code that made a parser follow a null pointer
-- why: the compiler is another, and says what is wrong
-- class: 31
-- cve: CVE-2022-24736
-- expect: error "Incomplete statement"

local function f() goto a ::a:: local x <close> = nil end
