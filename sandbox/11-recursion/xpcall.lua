-- attack: recurses through error handlers as deep as possible
-- why: the nesting depth of protected calls is limited, so that stopping them is quick
-- class: 11
-- expect: stopped
-- expect: error "stack overflow"

local function f() return (xpcall(f, function() return f() end)) end
while true do f() end
