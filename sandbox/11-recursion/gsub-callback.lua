-- attack: recurses through a gsub callback
-- why: the depth of C calls is limited
-- class: 11
-- expect: error "overflow"
-- expect: stopped
-- expect: limited

local function f() return (('x'):gsub('.', f)) end
return f()
