-- attack: an endless loop
-- why: the VM is interrupted at every turn of a loop
-- class: 1
-- expect: stopped

while true do end
