-- attack: edits below a value with 40,000 members, again and again
-- why: an edit asks the deadline by the members that it looks through
-- class: 33
-- expect: stopped

local m = {}
for i = 1, 40000 do m['k' .. i] = 1 end
kong.log.set_serialize_value('m', m)
for i = 1, 1e6 do kong.log.set_serialize_value('m.k' .. i, 2) end
