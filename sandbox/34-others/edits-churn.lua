-- attack: sets and removes a value without end
-- why: what is removed does not count, and the deadline ends it; other plugins have a share of their own
-- class: 34
-- expect: stopped

local s = 'x' for i = 1, 17 do s = s .. s end
while true do
  kong.log.set_serialize_value('a.b.c', s)
  kong.log.set_serialize_value('a', nil)
end
