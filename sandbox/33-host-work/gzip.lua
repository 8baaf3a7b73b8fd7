-- attack: compresses and expands megabytes again and again
-- why: the host looks at the time between parts of a text
-- class: 33
-- expect: stopped

local gzip = require 'kong.tools.gzip'
local s = ('x'):rep(2 ^ 20)
s = s .. s .. s .. s
while true do gzip.inflate_gzip(gzip.deflate_gzip(s)) end
