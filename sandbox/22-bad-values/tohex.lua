-- attack: passes bit.tohex the smallest integer as its width
-- why: the width is clamped before anything is written
-- class: 22
-- cve: CVE-2024-31449
-- expect: value "80000000"

return bit.tohex(-2147483648, 2147483647)
