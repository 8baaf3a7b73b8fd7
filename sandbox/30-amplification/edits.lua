-- attack: sets more than a message may hold
-- why: all values of a message together are bounded
-- class: 30
-- expect: limited
-- expect: stopped

local s = ('x'):rep(2 ^ 19)
for i = 1, 100 do kong.log.set_serialize_value('k' .. i, s) end
