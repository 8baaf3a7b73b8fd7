-- attack: a handler that fails in its handler
-- why: handlers nest to a bound
-- class: 3
-- expect: stopped
-- expect: error "overflow"
-- expect: error "error in error handling"
-- expect: value false

local function h() return xpcall(error, h) end
return (xpcall(error, h))
