-- attack: sets more values than a message may hold
-- why: the total size of the values of a message is limited
-- class: 30
-- expect: limited
-- expect: stopped

local s = ('x'):rep(2 ^ 19)
for i = 1, 100 do kong.log.set_serialize_value('k' .. i, s) end
