-- attack: passes bit.tohex the smallest integer as its width
-- why: the width is clamped before anything is written
-- class: 22
-- cve: CVE-2024-31449
-- expect: value "254 80000000"

local hex = bit.tohex(-2147483648, 2147483647)
return #hex .. ' ' .. hex:sub(-8)
