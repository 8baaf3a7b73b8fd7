-- attack: sets as much as one plugin may, in many values
-- why: each plugin has its own share
-- class: 34
-- expect: error "all values that the plugin has set"
-- expect: stopped

local s = 'x' for i = 1, 19 do s = s .. s end
for i = 1, 100 do kong.log.set_serialize_value('g' .. i, s) end
