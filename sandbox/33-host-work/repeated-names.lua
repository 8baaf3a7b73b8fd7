-- attack: serializes a message whose names hash alike
-- why: repeated names are found in constant time each
-- class: 33
-- expect: stopped

local m = {}
for i = 1, 40000 do m[('a%06db'):format(i)] = 1 end
kong.log.set_serialize_value('m', m)
for i = 1, 1e6 do kong.log.serialize() end
