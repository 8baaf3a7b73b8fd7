-- attack: a replacement with very many escapes, again and again
-- why: each iteration is interrupted
-- class: 33
-- expect: stopped
-- expect: limited

local template = '%-'
for i = 1, 18 do template = template .. template end
while true do ('x'):gsub('x', template) end
