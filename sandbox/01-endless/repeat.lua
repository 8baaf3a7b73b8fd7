-- attack: an endless repeat loop
-- why: the VM is interrupted at every iteration of a repeat loop
-- class: 1
-- expect: stopped

repeat until false
