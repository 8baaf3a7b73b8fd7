-- attack: sets many large values one after another
-- why: the total size of the values set for one message is limited
-- class: 30
-- expect: stopped
-- expect: error "all values that the plugin has set for one message"

local s = ('x'):rep(9e5)
for i = 1, 100 do kong.log.set_serialize_value('k' .. i, s) end
