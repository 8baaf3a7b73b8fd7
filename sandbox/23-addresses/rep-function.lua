-- attack: string.rep of a value that is no text
-- why: it takes texts and numbers only, as in LuaJIT
-- class: 23
-- settings: profile: strict
-- expect: error "string expected, got"

return ('x').rep(print, 1)
