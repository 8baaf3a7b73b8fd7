-- attack: makes a loop hot, as for a JIT compiler, then loops endlessly
-- why: the VM only interprets, so no machine code skips the interrupt
-- class: 5
-- expect: stopped

local n = 0
for i = 1, 1e5 do n = n + i end
while n > 0 do n = n + 1 end
