-- attack: a comparator that contradicts itself
-- why: sorting ends or is interrupted, and the values stay intact
-- class: 12
-- expect: error "invalid order function"
-- expect: value 2997

local t, sum = {}, 0
for i = 1, 1000 do t[i] = i % 7 end
table.sort(t, function() return true end)
for i = 1, 1000 do sum = sum + t[i] end
return sum
