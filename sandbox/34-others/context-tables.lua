-- attack: leaves tables in kong.ctx.shared until little memory is left
-- why: memory is charged to its holder: the next plugin gets a new VM
-- class: 34
-- expect: value 1
-- expect: limited
-- expect: stopped

local t = {}
kong.ctx.shared.t = t
for i = 1, 100000 do t[i] = {} end
return 1
