-- attack: recurses through handlers as deep as it can
-- why: protected calls nest to a bound, so that stopping them is quick
-- class: 11
-- expect: stopped
-- expect: error "stack overflow"

local function f() return (xpcall(f, function() return f() end)) end
while true do f() end
