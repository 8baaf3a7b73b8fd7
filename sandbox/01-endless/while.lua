-- attack: an endless while loop
-- why: the VM is interrupted at every iteration of a loop
-- class: 1
-- expect: stopped

while true do end
