-- attack: gsub that replaces each character with a long string
-- why: memory is limited
-- class: 7
-- expect: limited
-- expect: stopped

local s = ('x'):rep(2 ^ 16)
return #s:gsub('.', s)
