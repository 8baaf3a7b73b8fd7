-- attack: gsub that puts a long text for each character
-- why: memory is limited
-- class: 7
-- expect: limited
-- expect: stopped

local s = ('x'):rep(2 ^ 16)
return #s:gsub('.', s)
