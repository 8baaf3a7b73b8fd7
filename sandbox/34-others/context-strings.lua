-- attack: leaves long strings in kong.ctx.shared until little memory is left
-- why: memory is charged to its holder: the next plugin gets a new VM
-- class: 34
-- expect: value 1
-- expect: limited
-- expect: stopped

local s = 'x' for i = 1, 18 do s = s .. s end
local t = {}
kong.ctx.shared.t = t
for i = 1, 58 do t[i] = s .. i end
return 1
