-- attack: serializes a message with 40,000 members, again and again
-- why: the message is converted value by value, and each asks the deadline
-- class: 33
-- expect: stopped

local m = {}
for i = 1, 40000 do m['k' .. i] = 1 end
kong.log.set_serialize_value('m', m)
for i = 1, 1e6 do kong.log.serialize() end
