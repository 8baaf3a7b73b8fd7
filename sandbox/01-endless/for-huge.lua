-- attack: a loop to infinity
-- why: the same, in a numeric loop
-- class: 1
-- expect: stopped

for i = 1, math.huge do end
