-- attack: sets request headers without end
-- why: all changes to a request together are limited
-- class: 34
-- expect: error "the changes to the request are larger"
-- expect: error "all values that the plugin has set"
-- expect: stopped

local s = 'x' for i = 1, 17 do s = s .. s end
for i = 1, 1000000 do ngx.req.set_header('x-' .. i, s) end
