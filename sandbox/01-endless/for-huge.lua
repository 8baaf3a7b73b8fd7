-- attack: a numeric loop to infinity
-- why: the VM is interrupted at every iteration of a numeric loop
-- class: 1
-- expect: stopped

for i = 1, math.huge do end
