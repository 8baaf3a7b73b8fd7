-- attack: an error handler that fails inside itself
-- why: the nesting depth of error handlers is limited
-- class: 3
-- expect: stopped
-- expect: error "overflow"
-- expect: error "error in error handling"
-- expect: value false

local function h() return xpcall(error, h) end
return (xpcall(error, h))
