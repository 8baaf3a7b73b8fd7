-- attack: fills an array with holes, index by index
-- why: an edit asks the deadline by the elements that it counts
-- class: 33
-- expect: stopped
-- expect: limited

for i = 1, 1e6 do kong.log.set_serialize_value('a[' .. i .. ']', i % 2 == 0 and 1 or nil) kong.log.set_serialize_value('a[' .. i .. ']', 1) end
