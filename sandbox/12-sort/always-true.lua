-- attack: a comparator that contradicts itself
-- why: sorting ends or is interrupted
-- class: 12
-- expect: error "invalid order function"
-- expect: stopped

local t = {}
for i = 1, 1000 do t[i] = i % 7 end
table.sort(t, function() return true end)
error('invalid order function was let through')
