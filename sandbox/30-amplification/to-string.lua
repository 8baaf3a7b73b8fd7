-- attack: many large values, one after another
-- why: all values set for one message have a bound
-- class: 30
-- expect: stopped
-- expect: error "all values set for one message"

local s = ('x'):rep(9e5)
for i = 1, 100 do kong.log.set_serialize_value('k' .. i, s) end
